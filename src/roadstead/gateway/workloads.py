"""Applies the objects that run the proxies, and removes those of proxies that are gone.

`infra` says which objects; here they are sent, each only if it is not what was sent before. A Gateway's objects go with
it (owner references); the Ingress proxy has no owner, so what nobody wants any more is deleted here.
"""

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from roadstead.api.errors import AlreadyExists, ApiError, NotFound
from roadstead.api.objects import Object, ObjectKey, is_deleting, key_of, labels_of
from roadstead.api.resources import Resource, resource
from roadstead.client import ApiClient, Informers, own_informers
from roadstead.gateway.infra import PROXY_LABEL, InfraSettings, objects_for
from roadstead.gateway.ir import Listener, Proxy, Workload

FIELD_MANAGER = "roadstead-gateway"
_RETRY_SECONDS = 1.0
_KINDS = ("Service", "Deployment", "ServiceAccount")
_log = structlog.get_logger(__name__)

_Name = tuple[str, ObjectKey]


class Workloads:
    """Keeps the objects of all proxies as `infra` wants them."""

    def __init__(self, client: ApiClient, settings: InfraSettings, informers: Informers | None = None) -> None:
        inform = informers or own_informers(client)
        self._client = client
        self._settings = settings
        self._made: dict[str, tuple[tuple[Workload, tuple[Listener, ...]], list[Object]]] = {}
        self._wanted: dict[_Name, Object] = {}
        self._applied: dict[_Name, Object] = {}
        self._kept: set[ObjectKey] = set()
        self._namespaces: set[str] = set()
        self._wake = asyncio.Event()
        self._ready = False
        self._informers = {
            kind: inform(resource(kind), label_selector=PROXY_LABEL) for kind in ("Deployment", "Service")
        }

    def wanted(self, proxies: Iterable[Proxy]) -> None:
        """Want the objects of these proxies from now on, and no others."""
        proxies = list(proxies)
        objects = [obj for proxy in proxies for obj in self._objects(proxy)]
        wanted = {(str(obj["kind"]), key_of(obj)): obj for obj in objects}
        self._kept = {ObjectKey(proxy.workload.namespace, proxy.workload.name) for proxy in proxies}
        self._namespaces = {proxy.workload.namespace for proxy in proxies if proxy.workload.owner is None}
        self._ready = True
        self._wanted = wanted
        if wanted != self._applied or self._abandoned():
            self._wake.set()

    def _objects(self, proxy: Proxy) -> list[Object]:
        """Return a proxy's objects, made only once for as long as what they depend on is the same."""
        depends = (proxy.workload, proxy.listeners)
        before = self._made.get(proxy.key)
        if before is None or before[0] != depends:
            before = self._made[proxy.key] = (depends, objects_for(proxy, self._settings))
        return before[1]

    async def run(self) -> None:
        """Apply until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind, informer in self._informers.items():
                informer.on_change(partial(self._changed, kind))
                tasks.create_task(informer.run(), name=f"gateway proxy {kind}")
            await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))
            self._wake.set()
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._ready and not await self._round():
                    await asyncio.sleep(_RETRY_SECONDS)
                    self._wake.set()

    def _changed(self, kind: str, key: ObjectKey, _old: Object | None, new: Object | None) -> None:
        """Apply again what somebody has deleted."""
        if new is None and self._applied.pop((kind, key), None) is not None:
            self._wake.set()

    async def _round(self) -> bool:
        """Return whether everything is as wanted."""
        wanted = self._wanted
        await self._make_namespaces()
        changed = {name: obj for name, obj in wanted.items() if self._applied.get(name) != obj}
        applied = await asyncio.gather(*(self._apply(name, obj) for name, obj in changed.items()))
        deleted = await asyncio.gather(*(self._delete(name) for name in self._abandoned()))
        self._applied = {name: obj for name, obj in self._applied.items() if name in wanted}
        return all(applied) and all(deleted)

    async def _make_namespaces(self) -> None:
        for name in self._namespaces:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            try:
                await self._client.create(resource("Namespace"), namespace, field_manager=FIELD_MANAGER)
            except AlreadyExists:
                continue
            except ApiError as error:
                _log.warning("namespace not made", namespace=name, error=error.message)

    async def _apply(self, name: _Name, obj: Object) -> bool:
        kind = resource(name[0], str(obj["apiVersion"]))
        try:
            if name not in self._applied and await self._is_somebody_elses(kind, name[1]):
                _log.error("proxy object not applied: one of this name is not ours", kind=name[0], object=str(name[1]))
                return False
            await self._client.apply(kind, obj, field_manager=FIELD_MANAGER)
        except ApiError as error:
            _log.warning("proxy object not applied", kind=name[0], object=str(name[1]), error=error.message)
            return False
        self._applied[name] = obj
        return True

    async def _is_somebody_elses(self, kind: Resource, key: ObjectKey) -> bool:
        """Say whether there is an object of this name that no proxy of ours has made; we must not take it over."""
        try:
            found = await self._client.get(kind, key.name, key.namespace)
        except NotFound:
            return False
        return PROXY_LABEL not in labels_of(found)

    def _abandoned(self) -> list[_Name]:
        """Return the objects of proxies that are not there any more. One that serves nothing at the moment stays."""
        found = [one for informer in self._informers.values() for one in informer.objects.values()]
        lost = {key_of(one) for one in found if PROXY_LABEL in labels_of(one) and not is_deleting(one)} - self._kept
        return [(kind, key) for key in lost for kind in _KINDS]

    async def _delete(self, name: _Name) -> bool:
        kind, key = name
        try:
            await self._client.delete(resource(kind), key.name, key.namespace)
        except NotFound:
            return True
        except ApiError as error:
            _log.warning("proxy object not deleted", kind=kind, object=str(key), error=error.message)
            return False
        return True

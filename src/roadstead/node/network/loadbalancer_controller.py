"""Keeps the relay's listeners as Services and pods want them, and tells Services where they can be reached.

`loadbalancer` decides; here are only the watching, the relay, and the writing. A port that is in use is tried again
every few seconds: it may become free.
"""

import asyncio
import datetime
from collections.abc import Mapping

import structlog

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient, EventRecorder, Informers, own_informers
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.network.loadbalancer import (
    DEFAULT_RANGE,
    Listener,
    Outcome,
    Place,
    allocate,
    changes,
    host_ports_annotation,
    service_status,
    wanted_listeners,
)
from roadstead.node.network.relay_client import PortUnavailable, RelayClient
from roadstead.node.network.services import services_from

_SERVICE, _POD, _SLICE = resource("Service"), resource("Pod"), resource("EndpointSlice")
_RETRY_SECONDS = 3.0
_log = structlog.get_logger(__name__)


class LoadBalancerController:
    """Run `run` as a background task; it ends when cancelled. `isolated` is false where there is no node network.

    `node_ports` says where on the host a NodePort is opened.
    """

    def __init__(
        self,
        client: ApiClient,
        relay: RelayClient,
        *,
        cluster: str,
        isolated: bool = True,
        addresses: str = DEFAULT_RANGE,
        node_ports: Mapping[int, Place] | None = None,
        informers: Informers | None = None,
    ) -> None:
        self._client, self._relay = client, relay
        self._cluster, self._isolated, self._range = cluster, isolated, addresses
        self._node_ports = dict(node_ports or {})
        inform = informers or own_informers(client)
        self._services, self._pods, self._slices = inform(_SERVICE), inform(_POD), inform(_SLICE)
        self._events = EventRecorder(client, component="roadstead-relay")
        self._opened: dict[Place, Listener] = {}
        self._outcomes: dict[Place, Outcome] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow Services and pods until cancelled."""
        informers = [self._services, self._pods, *([] if self._isolated else [self._slices])]
        for informer in informers:
            informer.on_change(lambda *_: self._changed.set())
        tasks = [spawn(informer.run(), name=f"relay: {informer.resource.plural}") for informer in informers]
        try:
            for informer in informers:
                await informer.wait_synced()
            while True:
                self._changed.clear()
                complete = await self._reconcile()
                await self._wait(None if complete else _RETRY_SECONDS)
        finally:
            await cancel_all(tasks)

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _reconcile(self) -> bool:
        """Open, close and write what is due; say whether all of it could be done."""
        services = list(self._services.objects.values())
        addresses = allocate(services, self._cluster, self._range)
        table = None if self._isolated else services_from(services, self._slices.objects.values(), stand_ins=True)
        wanted = wanted_listeners(services, addresses, self._pods.objects.values(), table, self._node_ports)
        due = changes(self._opened, self._outcomes, wanted)
        for place in due.close:
            await self._close(place)
        for place in due.open:
            await self._open(place, wanted[place])
        written = [await self._write(service, addresses.get(key_of(service))) for service in services]
        return all(written) and not any(outcome.problem for outcome in self._outcomes.values())

    async def _close(self, place: Place) -> None:
        await self._relay.close_listener(place.address, place.port)
        del self._opened[place]
        self._outcomes.pop(place, None)

    async def _open(self, place: Place, listener: Listener) -> None:
        before = self._outcomes.get(place)
        try:
            port = await self._relay.open(place.address, place.port, listener.targets, fallback=listener.fallback)
        except PortUnavailable as error:
            outcome = Outcome(problem=str(error))
            if before != outcome:
                self._tell(listener, str(error))
        else:
            outcome = Outcome(port)
        self._opened[place], self._outcomes[place] = listener, outcome

    def _tell(self, listener: Listener, problem: str) -> None:
        kind, key = listener.owner
        found: Mapping[ObjectKey, Object] = (self._services if kind == "Service" else self._pods).objects
        if key in found:
            # Objects in a collection come without the kind that an event must name.
            regarding = {"apiVersion": "v1", "kind": kind, **found[key]}
            self._events.record(regarding, "Warning", "PortUnavailable", problem)
        _log.warning("port unavailable", kind=kind, object=str(key), problem=problem)

    async def _write(self, service: Object, address: str | None) -> bool:
        key, now = key_of(service), datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = host_ports_annotation(service, address, self._outcomes)
        status = service_status(service, address, self._outcomes, now)
        try:
            if annotations is not None:
                # Before the status: whoever sees the address must also see which ports moved.
                await self._client.patch(_SERVICE, key.name, key.namespace, {"metadata": {"annotations": annotations}})
            if status is not None:
                await self._client.patch(_SERVICE, key.name, key.namespace, {"status": status}, subresource="status")
        except ApiError as error:
            _log.info("Service not updated", service=str(key), error=error.message)
            return error.code == 404  # it is gone: nothing is left to write
        return True

"""Feeds the node's network: Services and policies of the API become tables of the runtime, DNS records of the DNS.

Changes are gathered, so that a burst of them costs one table; of policies only the difference is sent. A pod is
admitted before its first process starts: then the policies that select it are in force, or it does not start.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, annotations_of, key_of, metadata_of
from roadstead.client import Informer
from roadstead.node.netd_client import NetdError
from roadstead.node.network.dns_records import Records, records_from
from roadstead.node.network.services import ServiceTable, services_from
from roadstead.node.pod_spec import MIRROR_ANNOTATION
from roadstead.node.policy.compile import PolicyCompiler
from roadstead.node.policy.problems import problems
from roadstead.node.policy.table import PolicyTable, difference
from roadstead.node.runtime import Runtime

_log = structlog.get_logger(__name__)
_RETRY_SECONDS = 1.0

Warn = Callable[[Object, str, str], None]
"""Records a Warning event of an object: reason, message."""


class NetworkFeeder:
    """Keeps the runtime's tables what the informers say. `informers` are by kind."""

    def __init__(self, runtime: Runtime, informers: Mapping[str, Informer], domain: str, warn: Warn) -> None:
        self._runtime, self._informers, self._domain, self._warn = runtime, informers, domain, warn
        self._services, self._policies = ServiceTable(), PolicyTable()
        self._compiler = PolicyCompiler()
        self._in_doubt = False
        """Whether a change of policies failed or was cut short: then the next one sends the whole table."""
        self._addresses: dict[ObjectKey, str] = {}
        self._stale_services, self._stale_policies = True, True
        self._dirty = asyncio.Event()
        self._lock = asyncio.Lock()
        self.on_records: Callable[[Records], None] = lambda _: None
        """Called with the DNS records whenever Services change."""
        for kind in ("Service", "EndpointSlice"):
            informers[kind].on_change(self._services_changed)
        for kind in ("Pod", "Namespace", "NetworkPolicy"):
            informers[kind].on_change(self._policies_changed)
        informers["NetworkPolicy"].on_change(self._tell_problems)

    def _services_changed(self, *_: object) -> None:
        self._stale_services = True
        self._dirty.set()

    def _policies_changed(self, *_: object) -> None:
        self._stale_policies = True
        self._dirty.set()

    def _tell_problems(self, _: ObjectKey, old: Object | None, new: Object | None) -> None:
        """Tell of a policy's fields that have no effect, once for each generation of it."""
        if new is not None and (old is None or _generation(old) != _generation(new)):
            for problem in problems(new):
                # Objects in a collection come without the kind that an event must name.
                named = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **new}
                self._warn(named, "FieldHasNoEffect", problem)

    async def run(self) -> None:
        """Follow until cancelled; a table that the runtime refuses is tried again."""
        for kind in ("Service", "EndpointSlice", "Pod", "Namespace", "NetworkPolicy"):
            await self._informers[kind].wait_synced()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                if self._stale_services:
                    await self._feed_services()
                if self._stale_policies:
                    await self._feed_policies()
            except NetdError as error:
                _log.error("the node's network does not take a table", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._dirty.set()

    async def _feed_services(self) -> None:
        self._stale_services = False
        services = list(self._informers["Service"].objects.values())
        slices = list(self._informers["EndpointSlice"].objects.values())
        self.on_records(records_from(services, slices, self._domain))
        table = services_from(services, slices)
        if table != self._services:
            try:
                await self._runtime.apply_services(table)
            except NetdError:
                self._stale_services = True
                raise
            self._services = table

    async def _feed_policies(self) -> None:
        async with self._lock:
            self._stale_policies = False
            table = self._compile()
            try:
                await self._send_policies(table)
            except BaseException:
                self._in_doubt = True
                self._policies_changed()
                raise
            self._policies, self._in_doubt = table, False

    async def _send_policies(self, table: PolicyTable) -> None:
        if self._in_doubt:
            await self._runtime.apply_policies(table)
        elif change := difference(self._policies, table):
            await self._runtime.change_policies(change)

    def _compile(self) -> PolicyTable:
        return self._compiler.compile(
            list(pods_that_run(self._informers["Pod"].objects, self._addresses)),
            list(self._informers["Namespace"].objects.values()),
            list(self._informers["NetworkPolicy"].objects.values()),
            self._addresses,
        )

    async def admit(self, pod: ReadOnlyObject, address: str) -> None:
        """Put the policies of a pod with a new address in force. Raises NetdError; then it must not start."""
        self._addresses[key_of(pod)] = address
        await self._feed_policies()

    def dismiss(self, key: ObjectKey, address: str) -> None:
        """Forget the address of a pod that has ended."""
        if self._addresses.get(key) == address:
            del self._addresses[key]
            self._policies_changed()


def pods_that_run(pods: Mapping[ObjectKey, Object], admitted: Mapping[ObjectKey, str]) -> Iterable[Object]:
    """Yield the pods whose address is theirs now: those admitted, and mirrors, whose status the node itself wrote.

    The status of any other pod may tell an address of an earlier life of the node.
    """
    return (pod for key, pod in pods.items() if key in admitted or MIRROR_ANNOTATION in annotations_of(pod))


def _generation(policy: ReadOnlyObject) -> tuple[object, object]:
    metadata = metadata_of(policy)
    return metadata.get("uid"), metadata.get("generation")

"""The parts of the server put together around a store. `server` gives them sockets; tests call the application.

Who needs whom: `app` -> `endpoints` -> `rest`, `subresources`, `watch` -> `writer` -> the store; `registry`,
`allocation`, `access.rbac` and `watch` listen to the store's events.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from roadstead.api.objects import Object, key_of
from roadstead.apiserver.access.authentication import Authenticator
from roadstead.apiserver.access.escalation import EscalationGuard
from roadstead.apiserver.access.rbac import MASTERS, Authorizer
from roadstead.apiserver.access.reviews import Reviews
from roadstead.apiserver.access.tokens import ServiceAccountTokens
from roadstead.apiserver.admission.allocation import ServiceAllocator
from roadstead.apiserver.admission.limits import Limits
from roadstead.apiserver.admission.policies.enforcement import Policies
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.endpoints import ResourceEndpoints, Services
from roadstead.apiserver.housekeeping import Housekeeping
from roadstead.apiserver.http.app import ApiApp, Parts
from roadstead.apiserver.http.parameters import WriteOptions
from roadstead.apiserver.metrics import Metrics
from roadstead.apiserver.quota_status import QuotaStatuses
from roadstead.apiserver.registry import Registry
from roadstead.apiserver.rest import Rest
from roadstead.apiserver.store import Store
from roadstead.apiserver.streams.kubelet import Kubelet
from roadstead.apiserver.streams.pod_logs import PodLogs
from roadstead.apiserver.streams.pod_streams import PodStreams
from roadstead.apiserver.streams.port_forward import PortForwards
from roadstead.apiserver.streams.proxy import Proxies
from roadstead.apiserver.subresources import Subresources
from roadstead.apiserver.watch import WatchHub
from roadstead.apiserver.writer import Writer
from roadstead.lib.tasks import spawn

_OPTIONS = WriteOptions(field_manager="roadstead")
SYSTEM = User("system:apiserver", (MASTERS,))


@dataclass(frozen=True, slots=True)
class Assembly:
    """A server without sockets."""

    app: ApiApp
    hub: WatchHub
    registry: Registry
    writer: Writer
    store: Store
    housekeeping: Housekeeping
    quota_statuses: QuotaStatuses
    logs: PodLogs
    proxies: Proxies

    def start(self) -> list[asyncio.Task[None]]:
        """Start what the server does of its own accord; returns the tasks, which run until they are cancelled."""
        return [
            spawn(self.housekeeping.run(), name="API server housekeeping"),
            spawn(self.quota_statuses.run(), name="statuses of quotas"),
        ]

    def close_streams(self) -> None:
        """End watches, followed logs and proxied requests, so that nothing keeps the server from stopping."""
        self.hub.close()
        self.logs.close()
        self.proxies.close()

    def has(self, obj: Object) -> bool:
        """Say whether there is an object of this kind and name."""
        return self.store.get(self._call("get", obj).location) is not None

    async def ensure(self, obj: Object) -> None:
        """Create an object of a built-in kind, as the server itself, unless it is there."""
        call = self._call("create", obj)
        if self.store.get(call.location) is None:
            await self.writer.create(call, obj, _OPTIONS)

    async def enforce(self, obj: Object) -> None:
        """Apply an object of a built-in kind, as the server itself, whatever is there."""
        await self.writer.apply(self._call("patch", obj), replace(_OPTIONS, force=True), obj)

    def _call(self, verb: str, obj: Object) -> Call:
        resource = self.registry.scheme.by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None
        return Call(verb, resource, *key_of(obj), "", {}, SYSTEM)


def assemble(
    store: Store,
    tokens: ServiceAccountTokens,
    *,
    users: Mapping[str, User],
    service_cidr: str,
    kubelet: Kubelet | None,
    clock: Callable[[], datetime],
    mount_tokens: bool = False,
) -> Assembly:
    """Put a server together around a store.

    `users` are those whom bearer tokens stand for; `mount_tokens` gives pods the volume with their account's token.
    """
    registry = Registry(store)
    allocator = ServiceAllocator(service_cidr)
    for record in store.records("services"):
        allocator.claim(record.location, record.decode())
    store.subscribe(allocator.observe)
    authenticator, authorizer = Authenticator(users, tokens), Authorizer(store)
    guard = EscalationGuard(authorizer).check
    limits = Limits(store)
    policies = Policies(store, registry, authorizer)
    writer = Writer(store, registry, allocator, limits, clock, guard, policies, mount_tokens=mount_tokens)
    hub = WatchHub(store, clock)
    services = Services(
        registry=registry,
        rest=Rest(store, writer),
        subresources=Subresources(store, writer, tokens, clock),
        reviews=Reviews(authenticator, authorizer),
        hub=hub,
        logs=PodLogs(store, kubelet),
        metrics=Metrics(kubelet),
        proxies=Proxies(store, kubelet),
        clock=clock,
    )
    parts = Parts(
        registry=registry,
        tokens=tokens,
        authenticator=authenticator,
        authorizer=authorizer,
        endpoints=ResourceEndpoints(services),
        streams=PodStreams(store, kubelet),
        forwards=PortForwards(store, kubelet),
    )
    housekeeping = Housekeeping(store, registry, writer, clock, SYSTEM)
    statuses = QuotaStatuses(limits.quotas, writer, SYSTEM)
    return Assembly(
        ApiApp(parts), hub, registry, writer, store, housekeeping, statuses, services.logs, services.proxies
    )

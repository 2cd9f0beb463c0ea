"""The gateway's loop: informers wake it, it translates, hands the result on, and writes what is to be said.

    informers ──▶ gather ─▶ translate ─┬─▶ ProxyServer.update     at once
                                       ├─▶ infra: apply            in the background, what changed
                                       └─▶ statuses: patch         a moment later, what changed

Changes that arrive in one turn of the event loop are translated together; there is no fixed delay. What is said about
a change waits until Envoy has it: statuses of a burst of changes are made and written together.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.client import ApiClient, EventRecorder, Informers, own_informers
from roadstead.gateway.gather import READ_KINDS, Gathering
from roadstead.gateway.infra import InfraSettings
from roadstead.gateway.ir import Certificate, PrivateKey, Proxies, ProxyServer
from roadstead.gateway.reflection.learning import Learner
from roadstead.gateway.reflection.serving import ReflectionServer, find_place
from roadstead.gateway.reflection.wiring import SERVER_SOCKET
from roadstead.gateway.resources import CONTROLLER_NAME
from roadstead.gateway.translate import Translator, everything
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.workloads import Workloads
from roadstead.gateway.writer import StatusWriter
from roadstead.gateway.xds import XdsServer
from roadstead.lib.pki import CertificateAuthority
from roadstead.lib.tasks import cancel_all, spawn

_SAY_AFTER = 0.01
"""Seconds from a change to the statuses that tell of it, and of the other changes until then."""
_TRY_AGAIN_AFTER = 1.0
_log = structlog.get_logger(__name__)
_WITH_STATUS = (
    "gateway_classes",
    "gateways",
    "grpc_routes",
    "http_routes",
    "tls_routes",
    "tcp_routes",
    "ingresses",
    "backend_tls_policies",
    "listener_sets",
)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """How the gateway runs: where its xDS socket is, how proxies are run, and whose GatewayClasses it serves."""

    xds_socket: Path
    infra: InfraSettings
    controller_names: frozenset[str] = frozenset({CONTROLLER_NAME})


async def run_gateway(client: ApiClient, config: GatewayConfig, *, informers: Informers | None = None) -> None:
    """Serve every Gateway and Ingress of a cluster until cancelled, with informers of its own unless they are given.

    Raises OSError if the xDS socket cannot be made.
    """
    server = XdsServer()
    controller = GatewayController(client, server, config, informers=informers)
    reflection = ReflectionServer(lambda key: find_place(key, controller.proxies, server.reflection_sockets))
    await server.start(config.xds_socket)
    try:
        await reflection.start(config.xds_socket.with_name(SERVER_SOCKET))
        await controller.run()
    finally:
        await reflection.stop()
        await server.stop()


class GatewayController:
    """Keeps proxies, their workloads and all statuses as the cluster's objects want them."""

    def __init__(
        self, client: ApiClient, server: ProxyServer, config: GatewayConfig, *, informers: Informers | None = None
    ) -> None:
        inform = informers or own_informers(client)
        self._server = server
        self._config = config
        self._informers = {name: inform(kind) for name, kind in READ_KINDS.items()}
        self._statuses = StatusWriter(client, self._current)
        self._workloads = Workloads(client, config.infra, informers)
        self._events = EventRecorder(client, component="roadstead-gateway")
        self._told: frozenset[tuple[ObjectKey, str, str]] = frozenset()
        self._translator = Translator()
        self._begin_anew = True
        self._wake = asyncio.Event()
        self._saying: asyncio.TimerHandle | None = None
        caches = {name: informer.objects for name, informer in self._informers.items()}
        default = fallback_certificate(datetime.now(UTC))
        self._learner = Learner(lambda: self.proxies, lambda key: server.reflection_sockets(key))
        self._gathering = Gathering(caches, server, config.controller_names, default, self._learner)

    @property
    def proxies(self) -> Proxies:
        """What is served at present."""
        return self._translator.proxies

    async def run(self) -> None:
        """Run until cancelled."""
        self._listen()
        tasks = [spawn(one.run(), name=f"gateway {name}") for name, one in self._informers.items()]
        tasks += [spawn(self._statuses.run(), name="gateway statuses")]
        tasks += [spawn(self._workloads.run(), name="gateway workloads")]
        tasks += [spawn(self._learner.run(), name="gateway reflection")]
        try:
            await asyncio.gather(*(informer.wait_known() for informer in self._informers.values()))
            while True:
                self._wake.clear()
                self._turn()
                await self._wake.wait()
        finally:
            if self._saying is not None:
                self._saying.cancel()
            await cancel_all(tasks)

    def _listen(self) -> None:
        for name, informer in self._informers.items():
            informer.on_change(partial(self._changed, name))
            if name in _WITH_STATUS:
                informer.on_change(partial(self._written, READ_KINDS[name].kind))
        self._server.on_change(self._proxy_changed)
        self._learner.on_change(self._learned)

    def _changed(self, name: str, key: ObjectKey, old: Object | None, new: Object | None) -> None:
        if self._gathering.note(name, key, old, new):
            self._wake.set()

    def _proxy_changed(self, key: str) -> None:
        self._gathering.note_proxy(key)
        self._learner.look()
        self._wake.set()

    def _learned(self, cluster: str) -> None:
        self._gathering.note_reflected(cluster)
        self._wake.set()

    def _written(self, kind: str, key: ObjectKey, _old: Object | None, _new: Object | None) -> None:
        self._statuses.look_at(kind, key)

    def _turn(self) -> None:
        """Do what there is to do. A fault of ours must not end the loop: the last good result stays."""
        try:
            self._translate()
            self._say_soon()
        except Exception:  # noqa: BLE001  whatever it is, it must not stop what is served
            self._begin_anew = True
            asyncio.get_running_loop().call_later(_TRY_AGAIN_AFTER, self._wake.set)
            _log.exception("translation failed; what was served before is still served")

    def _translate(self) -> None:
        """Translate what has changed and hand the result on."""
        resources, changes = self._gathering.resources(datetime.now(UTC)), self._gathering.changes()
        if self._begin_anew:
            self._translator, changes = Translator(), everything(resources)
        translator, before, notices = self._translator, self._translator.proxies, self._translator.notices
        translator.advance(resources, changes)
        if translator.proxies is not before or self._begin_anew:
            self._server.update(translator.proxies)
            self._learner.look()
            self._workloads.wanted(translator.proxies.values())
        if translator.notices is not notices:
            self._tell(translator.notices)
        self._begin_anew = False

    def _say_soon(self) -> None:
        if self._saying is None:
            self._saying = asyncio.get_running_loop().call_later(_SAY_AFTER, self._say)

    def _say(self) -> None:
        """Say what is to be said; of Gateways nothing that their Envoys' answers will soon make untrue."""
        self._saying = None
        try:
            stated = self._translator.statuses()
        except Exception:  # noqa: BLE001  whatever it is, it must not stop what is served
            _log.exception("statuses cannot be stated")
            return
        self._statuses.wanted({name: [one for one in found if not one.held] for name, found in stated.items()})

    def _tell(self, notices: Iterable[Notice]) -> None:
        """Record what has not been said yet; what is still so is not repeated at every pass."""
        found = {(key_of(one.regarding), one.reason, one.message): one for one in notices}
        for identity, notice in found.items():
            if identity not in self._told:
                self._events.record(notice.regarding, "Warning", notice.reason, notice.message)
        self._told = frozenset(found)

    def _current(self, kind: str, key: ObjectKey) -> Object | None:
        name = next((name for name, found in READ_KINDS.items() if found.kind == kind), "")
        return self._informers[name].objects.get(key) if name else None


def fallback_certificate(now: datetime) -> Certificate:
    """Return the certificate that an Ingress host without one gets, as ingress-nginx's: clients refuse it by name."""
    authority = CertificateAuthority.create("Roadstead Ingress Controller Fake Certificate", now)
    pair = authority.issue("Roadstead Ingress Controller Fake Certificate", now, hosts=["ingress.local"])
    return Certificate("default-certificate", pair.certificate, PrivateKey(pair.key))

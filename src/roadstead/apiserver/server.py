"""The API server as one component: made from a configuration, started on open sockets, stopped in order.

`ApiServer` puts the parts together; `roadstead.cluster` starts it. It listens where its sockets are bound and nowhere
else, and speaks TLS only, but with parts of its own process.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
import uvicorn

from roadstead.apiserver import bootstrap
from roadstead.apiserver.access.authentication import authenticated
from roadstead.apiserver.access.rbac import MASTERS
from roadstead.apiserver.access.tokens import ServiceAccountTokens, load_or_create_key, new_key
from roadstead.apiserver.assembly import Assembly, assemble
from roadstead.apiserver.calls import User
from roadstead.apiserver.http.connections import HttpConnection, WebSocketConnection, cut_off_late, prepare_process
from roadstead.apiserver.store import MemoryStore, SqliteStore, Store
from roadstead.apiserver.store.journal import Durability
from roadstead.apiserver.streams.kubelet import Kubelet
from roadstead.lib.tasks import cancel_all, spawn

_log = structlog.get_logger(__name__)
_STOP_SECONDS = 3
_TICKS_PER_SECOND = 10  # of uvicorn's main loop
_SYSTEM = User("system:apiserver", (MASTERS,))


@dataclass(frozen=True, slots=True)
class ApiServerConfig:
    """How an API server is to be.

    `state` is the directory of its database and signing key, None to keep everything in memory. `certificate` and
    `key` are its own, PEM files; `client_ca` signs the certificates of clients. `tokens` are bearer tokens and whose
    they are. `endpoint` is the address and port at which pods reach this server: the `kubernetes` Service leads there.
    `mount_tokens` gives every new pod the volume with its service account's token, as Kubernetes does; the node agent
    must be able to mount it, and somebody must make each namespace's account and CA ConfigMap.
    """

    state: Path | None
    certificate: Path
    key: Path
    client_ca: Path
    tokens: Mapping[str, User] = field(default_factory=dict, repr=False)
    service_cidr: str = "10.96.0.0/16"
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    endpoint: tuple[str, int] | None = None
    durability: Durability = "process"
    mount_tokens: bool = False


class ApiServer:
    """A Kubernetes API server in this event loop."""

    def __init__(
        self, config: ApiServerConfig, *, sockets: Sequence[socket.socket], kubelet: Kubelet | None = None
    ) -> None:
        """Prepare a server for sockets that are bound (they need not listen yet); it closes them when it stops."""
        self.config = config
        self.damage = ""
        """What was found wrong with the stored state, and where it was put; empty if nothing was."""
        self._sockets = list(sockets)
        self._kubelet = kubelet
        self._store: Store | None = None
        self._assembly: Assembly | None = None
        self._listener: _Listener | None = None
        self._serving: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """The address of the first socket."""
        host, port = self._sockets[0].getsockname()[:2]
        return f"https://{host}:{port}"

    async def start(self) -> None:
        """Open the state and serve; returns when requests are answered.

        Raises StorageFailed, OSError or ssl.SSLError if state, certificate or sockets cannot be used.
        """
        prepare_process()
        self._store = store = self._open_store()
        key = load_or_create_key(self.config.state / "service-account.key") if self.config.state else new_key()
        tokens = ServiceAccountTokens(key, self.config.issuer, store, _now)
        self._assembly = assembly = assemble(
            store,
            tokens,
            users=self.config.tokens,
            service_cidr=self.config.service_cidr,
            kubelet=self._kubelet,
            clock=_now,
            mount_tokens=self.config.mount_tokens,
        )
        # The last of what is always there comes last, so a start that was interrupted begins anew.
        required = list(bootstrap.objects())
        started = [*bootstrap.new_cluster_objects()] if not assembly.has(required[-1]) else []
        for obj in (*started, *required):
            await assembly.ensure(obj)
        if self.config.endpoint:
            address = _first_address(self.config.service_cidr)
            await assembly.ensure(bootstrap.kubernetes_service(address, self.config.endpoint))
            await assembly.enforce(bootstrap.endpoint_slice(self.config.endpoint))
        self._background = assembly.start()
        config = uvicorn.Config(
            assembly.app,
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=_STOP_SECONDS,
            backlog=512,
            proxy_headers=False,
        )
        config.load()
        config.ssl = server_tls(self.config)
        self._listener = _Listener(config)
        self._serving = spawn(self._listener.serve(self._sockets), name="API server")
        listening = spawn(self._listener.listening.wait(), name="API server start")
        await asyncio.wait([listening, self._serving], return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            listening.cancel()
            await self._serving

    async def connect(self, user: User) -> socket.socket:
        """Return a connection without TLS whose requests are this user's: for parts that run in this process.

        A handshake and the encryption of every message would cost them, and this process twice, a fifth of its time
        while a system comes up. Nobody else can have such a connection. Raises ConnectionRefusedError before `start`.
        """
        if self._listener is None:
            raise ConnectionRefusedError("the API server has not started")
        config, state = self._listener.config, self._listener.server_state
        here, there = socket.socketpair()
        for end in (here, there):
            end.setblocking(False)
        connection = partial(HttpConnection, config, state, {"user": authenticated(user)})
        await asyncio.get_running_loop().connect_accepted_socket(connection, there)
        return here

    async def stop(self) -> None:
        """End watches and streams, answer what is in flight, and close the state. May be called twice."""
        if self._assembly is not None:
            self._assembly.close_streams()
        await cancel_all(self._background)
        if self._listener is not None and self._serving is not None:
            self._listener.should_exit = True
            await asyncio.wait([self._serving])
            # What outlived the patience of uvicorn: a client would wait for an answer there that nobody gives.
            for connection in list(self._listener.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        for listening in self._sockets:
            listening.close()
        if self._store is not None:
            store, self._store = self._store, None
            await store.aclose()

    def _open_store(self) -> Store:
        if self.config.state is None:
            return MemoryStore(_origin())
        path = self.config.state / "state.db"
        store = SqliteStore.open(path, durability=self.config.durability, origin=_origin())
        self.damage = store.damage
        return store


class _Listener(uvicorn.Server):
    """Uvicorn without its signal handlers: the supervisor decides when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            cut_off_late(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_tls(config: ApiServerConfig) -> ssl.SSLContext:
    """Return the TLS settings: our certificate; a client may show one of our authority's, or a token later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    context.load_verify_locations(config.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def _first_address(cidr: str) -> str:
    return str(ipaddress.IPv4Network(cidr)[1])


def _origin() -> int:
    """Return where the revisions of a new state begin: beyond those of any earlier one, which had less than 1,000/s."""
    return int(_now().timestamp() * 1000)


def _now() -> datetime:
    return datetime.now(UTC)

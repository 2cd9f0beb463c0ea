"""A gRPC server that behaves in Kubernetes: `Server` wires what every service needs around your servicers.

    server = Server(port=50051, stages=standard_stages(passwords="/etc/app/passwords", policy="/etc/app/policy.yaml"))
    add_UserServicer_to_server(User(), server)
    asyncio.run(server.run())                     # until SIGTERM

Health, reflection, interceptors, TLS and draining are files of their own in this folder; here they meet.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import structlog
from grpc_health.v1 import health_pb2_grpc

from roadstead.service import health, reflection
from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.files import WatchedFile
from roadstead.service.interceptors.access_log import AccessLog
from roadstead.service.interceptors.asynchronous import AsyncChain
from roadstead.service.interceptors.authentication import Authentication, TokenCheck
from roadstead.service.interceptors.authorization import Authorization
from roadstead.service.interceptors.deadline import Deadline
from roadstead.service.interceptors.errors import Errors
from roadstead.service.interceptors.stage import Stage
from roadstead.service.lifecycle import Drain, Lifecycle
from roadstead.service.passwords import parse_password_file
from roadstead.service.policy import parse_policy
from roadstead.service.tls import Tls, server_credentials

_log = structlog.get_logger(__name__)


class Connections(msgspec.Struct, frozen=True):
    """How connections are kept. Seconds and bytes."""

    # Balancers of connections, not of RPCs, get a chance to balance anew; grpc adds ±10 % so that not all go at once.
    max_age: float = 300.0
    max_age_grace: float = 60.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
    # Clients may ping this often. grpc's own floor of 5 minutes answers ordinary clients with too_many_pings.
    client_ping_interval: float = 10.0
    max_message: int = 4 * 1024 * 1024
    max_metadata: int = 16 * 1024

    def channel_arguments(self) -> list[tuple[str, int]]:
        """Return grpc's names for these settings."""
        return [
            ("grpc.max_connection_age_ms", _ms(self.max_age)),
            ("grpc.max_connection_age_grace_ms", _ms(self.max_age_grace)),
            ("grpc.keepalive_time_ms", _ms(self.keepalive)),
            ("grpc.keepalive_timeout_ms", _ms(self.keepalive_timeout)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.client_ping_interval)),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(self.client_ping_interval)),
            ("grpc.max_receive_message_length", self.max_message),
            ("grpc.max_metadata_size", self.max_metadata),
            ("grpc.absolute_max_metadata_size", self.max_metadata * 2),
            # Two servers on one port by mistake should be an error, not a lottery.
            ("grpc.so_reuseport", 0),
        ]


class Server:
    """A `grpc.aio` server with health, reflection, interceptors and a graceful end.

    `address` defaults to all addresses, or `$POD_IP` where pods share one network; `environment` to
    `$ROADSTEAD_ENVIRONMENT`, or "production". `reflection` is on outside production unless it is said here. Make it
    inside or outside of a running loop; it is bound and started by `start` or `run`.
    """

    def __init__(
        self,
        *,
        port: int = 50051,
        address: str | None = None,
        stages: Sequence[Stage] = (),
        environment: str | None = None,
        reflection: bool | None = None,
        tls: Tls | None = None,
        drain: Drain | None = None,
        connections: Connections | None = None,
        variables: Mapping[str, str] = os.environ,
    ) -> None:
        self.address = listen_address(address or shared_network_address(variables), port)
        self._environment = environment or variables.get("ROADSTEAD_ENVIRONMENT") or "production"
        self._reflection = reflection
        self._stages = tuple(stages)
        self._tls = tls
        self._drain = drain or Drain()
        self._connections = connections or Connections()
        self._generic: list[grpc.GenericRpcHandler] = []
        self._registered: dict[str, Mapping[str, Any]] = {}
        self._server: grpc.aio.Server | None = None
        self.health = health.Health()
        self.lifecycle = Lifecycle(self.health, self._drain)
        self.port = port

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take what generated `add_…Servicer_to_server` functions register; as `grpc.Server` does."""
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Take one service's handlers; as `grpc.Server` does."""
        self._registered[service_name] = method_handlers

    @property
    def services(self) -> tuple[str, ...]:
        """The services that were added, and health."""
        named = (handler.service_name() for handler in self._generic if isinstance(handler, grpc.ServiceRpcHandler))
        return tuple(dict.fromkeys((*self._registered, *named, health.SERVICE_NAME)))

    async def start(self) -> None:
        """Bind and serve. Raises RuntimeError if the port is taken, OSError or ValueError if TLS files are unusable."""
        options = self._connections.channel_arguments()
        server = grpc.aio.server(interceptors=[AsyncChain(*self._stages)], options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        server.add_generic_rpc_handlers(tuple(self._generic))
        for name, handlers in {**self._registered, **self._reflection_handlers()}.items():
            server.add_registered_method_handlers(name, dict(handlers))
        self.port = self._bind(server)
        await server.start()
        # Kept here: grpc.aio stops listening, without a word, when its server object is collected.
        self._server = server
        for name in ("", *self.services):
            self.health.set(name, health.SERVING)
        _log.info("serving", address=self.address, port=self.port, services=self.services, tls=self._tls is not None)

    async def wait(self) -> None:
        """Serve until `lifecycle.leave()`, then drain."""
        if self._server is None:
            raise RuntimeError("start the server first")
        await self.lifecycle.run(self._server)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; the whole life of a server's process."""
        self.lifecycle.listen(asyncio.get_running_loop())
        await self.start()
        await self.wait()

    async def stop(self, grace: float | None = None) -> None:
        """Stop without the lame duck phase; for tests and for servers inside other programs."""
        self.health.drain()
        self.health.close()
        if self._server is not None:
            await self._server.stop(grace)

    def _bind(self, server: grpc.aio.Server) -> int:
        if self._tls is None:
            return server.add_insecure_port(self.address)
        return server.add_secure_port(self.address, server_credentials(self._tls))

    def _reflection_handlers(self) -> dict[str, dict[str, Any]]:
        allowed = reflection.allowed_in(self._environment)
        wanted = allowed if self._reflection is None else self._reflection
        if not wanted:
            return {}
        if not allowed:
            _log.warning("reflection is on in production: anybody who may call it learns every method and message")
        return reflection.reflection_handlers(self.services)


def standard_stages(
    *,
    passwords: str | Path | None = None,
    tokens: TokenCheck | None = None,
    policy: str | Path | None = None,
    default_deadline: float | None = None,
    longest_deadline: float | None = None,
) -> list[Stage]:
    """Return the usual chain: log, errors, deadline and, with a policy, who may call what.

    `passwords` and `policy` are files that are read again when they change. Raises OSError or ValueError if they
    cannot be read now. A policy without any kind of credentials lets only its anonymous methods through.
    """
    stages: list[Stage] = [AccessLog(), Errors(), Deadline(default_deadline, longest_deadline)]
    if policy is None:
        return stages
    in_force = WatchedFile(policy, parse_policy)
    verifier = PasswordVerifier(WatchedFile(passwords, parse_password_file)) if passwords is not None else None
    authentication = Authentication(verifier, tokens, is_open=lambda method: in_force().is_anonymous(method))
    return [*stages, authentication, Authorization(in_force)]


def shared_network_address(variables: Mapping[str, str]) -> str:
    """Return `$POD_IP` if it is a loopback address: then pods share the machine's network.

    Otherwise return "": in a network of its own a pod listens everywhere, as `kubectl port-forward` dials localhost.
    """
    address = variables.get("POD_IP") or ""
    return address if address.startswith("127.") else ""


def listen_address(host: str, port: int) -> str:
    """Return grpc's form of an address; no host means all addresses of both families."""
    if not host:
        return f"[::]:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

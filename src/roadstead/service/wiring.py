"""What every server is made of before it is bound: servicers, stages, settings. `Server` and `ThreadedServer` share it.

They differ in how they wait, and in nothing that a client, a probe or an operator could see.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import grpc
import msgspec
import structlog

from roadstead.service import health, reflection
from roadstead.service.health_methods import SERVICE_NAME
from roadstead.service.interceptors.plan import Methods, Wrapper
from roadstead.service.interceptors.stage import Stage
from roadstead.service.lifecycle import Drain
from roadstead.service.processes import place, supervise
from roadstead.service.tls import Tls, server_credentials

_log = structlog.get_logger(__name__)
# Milliseconds that grpc takes for no limit.
_NEVER = 2**31 - 1


class Connections(msgspec.Struct, frozen=True):
    """How connections are kept. Seconds, of which `math.inf` is never, and bytes.

    Raises ValueError for a setting that is not more than 0.
    """

    # Balancers of connections, not of RPCs, get a chance to balance anew; grpc adds ±10 % so that not all go at once.
    max_age: float = 300.0
    max_age_grace: float = 60.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
    # Clients may ping this often. grpc's own floor of 5 minutes answers ordinary clients with too_many_pings.
    client_ping_interval: float = 10.0
    max_message: int = 4 * 1024 * 1024
    max_metadata: int = 16 * 1024
    # How many RPCs may wait to be taken up. From 1000 on grpc would begin to drop them, as CANCELLED and unlogged.
    max_pending: int = 20_000

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"Connections: {name} must be more than 0, not {getattr(self, name)}")

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
            ("grpc.server.max_pending_requests", self.max_pending),
            ("grpc.server.max_pending_requests_hard_limit", self.max_pending),
        ]


class Bindable(Protocol):
    """The part of grpc's servers that binding needs."""

    def add_insecure_port(self, address: str) -> int:
        """Bind without TLS; return the port."""

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Bind with TLS; return the port."""


class Wiring:
    """A server that is not bound yet.

    `address` defaults to all addresses, or `$POD_IP` where pods share one network; `environment` to
    `$ROADSTEAD_ENVIRONMENT`, or "production". `reflection` is on outside production unless it is said here. `threads`
    is how many threads run handlers that are plain functions. With `processes`, `run` starts the program once more for
    each of them, and they share the port. Raises ValueError or TypeError for a setting that no server can have.
    """

    threaded = False

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
        threads: int = 16,
        processes: int = 1,
        variables: Mapping[str, str] = os.environ,
    ) -> None:
        _check(port=(port, 0, 65535), threads=(threads, 1, math.inf), processes=(processes, 1, math.inf))
        _check_stages(stages)
        self._host = address or shared_network_address(variables)
        self._processes = processes
        self._place = place(variables) if processes > 1 else None
        self.port = self._place.port if self._place else port
        self.address = listen_address(self._host, self.port)
        self.stages = tuple(stages)
        self.threads = threads
        self._variables = variables
        self._environment = environment or variables.get("ROADSTEAD_ENVIRONMENT") or "production"
        self._reflection = reflection
        self._tls = tls
        self._connections = connections or Connections()
        self._generic: list[grpc.GenericRpcHandler] = []
        self._registered: dict[str, Mapping[str, Any]] = {}
        self._was_started = False
        self._equip(drain or Drain())

    def _equip(self, drain: Drain) -> None:
        """Make health and lifecycle of the server's own sort."""
        raise NotImplementedError

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Take what generated `add_…Servicer_to_server` functions register; as `grpc.Server` does.

        Raises RuntimeError after the start: nobody would be told of the service.
        """
        self._check_is_new("add services before it is started")
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Take one service's handlers; as `grpc.Server` does. Raises RuntimeError after the start."""
        self._check_is_new("add services before it is started")
        self._registered[service_name] = method_handlers

    @property
    def services(self) -> tuple[str, ...]:
        """The services that were added, and health."""
        named = (handler.service_name() for handler in self._generic if isinstance(handler, grpc.ServiceRpcHandler))
        return tuple(dict.fromkeys((*self._registered, *named, SERVICE_NAME)))

    def supervise(self) -> bool:
        """In the parent of several processes, supervise them and return True when they have ended.

        Elsewhere return False at once. Raises SystemExit if they did not end well, RuntimeError if the port is taken.
        """
        if self._processes == 1 or self._place is not None:
            return False
        if code := supervise(self._processes, self._host, self.port, self._variables):
            raise SystemExit(code)
        return True

    def _options(self) -> list[tuple[str, int]]:
        self._check_is_new("make another one")
        if self._processes > 1 and self._place is None:
            raise RuntimeError("a server of several processes is served by run(), which starts them")
        # Without a parent's leave, two servers on one port are a mistake: an error then, not a lottery.
        return [*self._connections.channel_arguments(), ("grpc.so_reuseport", int(self._place is not None))]

    def _check_is_new(self, remedy: str) -> None:
        if self._was_started:
            raise RuntimeError(f"this server was started already: {remedy}")

    def _fill(self, server: Any, wrapper: Wrapper, health_handlers: Mapping[str, Any]) -> None:
        """Give a grpc server of either sort its services with the stages around them, and bind it."""
        services = {**self._registered, SERVICE_NAME: health_handlers, **self._reflection_handlers()}
        registered = {f"/{name}/{method}": each for name, found in services.items() for method, each in found.items()}
        server.add_generic_rpc_handlers((Methods(wrapper, registered, self._generic),))
        for stage in self.stages:
            stage.begin(self._registered)
        self.port = self._bind(server)
        self._was_started = True

    def _say_serving(self, board: health.Board) -> None:
        for name in ("", *self.services):
            board.set(name, health.SERVING)
        _log.info("serving", address=self.address, port=self.port, services=self.services, tls=self._tls is not None)

    def _bind(self, server: Bindable) -> int:
        credentials = None if self._tls is None else server_credentials(self._tls)
        try:
            if credentials is None:
                return server.add_insecure_port(self.address)
            return server.add_secure_port(self.address, credentials)
        except RuntimeError as error:
            # grpc has written why to standard error, and nowhere else.
            reasons = "the port is taken, or the address is none of this machine's"
            raise RuntimeError(f"cannot listen on {self.address}: {reasons}") from error

    def _reflection_handlers(self) -> dict[str, dict[str, Any]]:
        allowed = reflection.allowed_in(self._environment)
        wanted = allowed if self._reflection is None else self._reflection
        if not wanted:
            return {}
        if not allowed:
            _log.warning("reflection is on in production: anybody who may call it learns every method and message")
        return reflection.reflection_handlers(self.services, threaded=self.threaded)


def _check(**settings: tuple[Any, int, float]) -> None:
    """Check whole numbers by name: each with the least and the most that it may be."""
    for name, (value, least, most) in settings.items():
        if not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        if not least <= value <= most:
            allowed = f"{least} or more" if most is math.inf else f"{least} to {most}"
            raise ValueError(f"{name} must be {allowed}, not {value}")


def _check_stages(stages: Sequence[Stage]) -> None:
    for number, stage in enumerate(stages):
        if not isinstance(stage, Stage):
            raise TypeError(f"stages[{number}] must be a Stage, not {type(stage).__name__}")


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
    return round(min(seconds * 1000, _NEVER))

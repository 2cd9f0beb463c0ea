"""The client's side: a channel that presents credentials, keeps deadlines and tries again what may be tried again.

    async with channel("bar-svc:50051", credentials=password("alice", "…"), idempotent=["com.example.User"]) as c:
        user = await UserStub(c).GetUser(GetUserRequest(id="1"))

Time-outs are set per call, not in the service config: grpc lets those fire early. Within a handler no call gets more
time than the handler's own caller will wait. Idempotent methods wait for a connection and are repeated when a server
goes away under them, and sent to a second one when the first is slow, if that is wanted; other methods fail at once,
since nobody can know whether they were carried out.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from roadstead.service.addresses import Addresses, name_in
from roadstead.service.deadline import shorter, time_left
from roadstead.service.following import FollowingChannel
from roadstead.service.hedging import Budget, Hedging, hedged
from roadstead.service.tls import Content, Tls, TlsFiles

Pairs = tuple[tuple[str, str], ...]
Credentials = Callable[[], Pairs]


def password(name: str, secret: str) -> Credentials:
    """Return credentials that send `username` and `password` with every RPC."""
    pairs = (("username", name), ("password", secret))
    return lambda: pairs


def bearer(token: str | Callable[[], str]) -> Credentials:
    """Return credentials that send a token; a function is asked at every RPC."""
    ask = token if callable(token) else lambda: token
    return lambda: (("authorization", f"Bearer {ask()}"),)


def channel(
    target: str,
    *,
    credentials: Credentials | None = None,
    idempotent: Iterable[str] = (),
    hedging: Hedging | None = None,
    timeout: float | None = 10.0,
    tls: bool = False,
    ca_file: str | Path | None = None,
    certificate: Tls | None = None,
    authority: str | None = None,
    balance: bool = True,
    tracing: bool = False,
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """Return a `grpc.aio.Channel` to `target` (`name:port`, `dns:///…`, `unix:…`).

    `idempotent` names methods (`package.Service/Method`) or whole services (`package.Service`); with `hedging`, their
    unary calls are sent to a second server when the first is slow. `timeout` is for unary RPCs that set none
    themselves. TLS is used if `tls` is true, or `ca_file` (a PEM file of authorities to trust instead of the system's)
    or `certificate` (to show, for mutual TLS; its `client_ca` is trusted where there is no `ca_file`) is given;
    `authority` is the host name that the server should answer for, if it is not the target's. With `balance`, RPCs are
    spread over all addresses that the name has (a headless Service), and over those that it gets later. With `tracing`,
    each call is a span of OpenTelemetry (extra `tracing`) that the server's span joins. When files of certificates
    change, calls go over to a new connection that shows and trusts what they say now. Raises OSError or ValueError if
    they are unusable at first, ValueError or TypeError for a name in `idempotent` that is none.
    """
    idempotent = _names(idempotent)
    encrypted = bool(tls or ca_file or certificate)
    arguments = [*_arguments(idempotent, balance), *options]
    if authority is not None:
        arguments.append(("grpc.default_authority", authority))
        if encrypted:
            arguments.append(("grpc.ssl_target_name_override", authority.partition(":")[0]))
    hedge = _Hedge(hedging) if hedging is not None else None
    # Tracing outside: a call is one span however often it is sent.
    details = _interceptors(credentials or tuple, timeout, _Repeated(idempotent), hedge)
    interceptors = [*_tracing(target, tracing), *details]

    def open_channel(content: Content[bytes]) -> grpc.aio.Channel:
        if not encrypted:
            return grpc.aio.insecure_channel(target, options=arguments, interceptors=interceptors)
        shown = grpc.ssl_channel_credentials(content.authorities, content.key, content.certificate)
        return grpc.aio.secure_channel(target, shown, options=arguments, interceptors=interceptors)

    files, name = _files(ca_file, certificate), name_in(target) if balance else None
    if files is None and name is None:
        return open_channel(Content())
    return FollowingChannel(open_channel, files, Addresses(name) if name else None)


def _names(idempotent: Iterable[str]) -> tuple[str, ...]:
    """Return services and methods, each once: grpc takes no call if a name is there twice, and "" for all of them."""
    if isinstance(idempotent, str):
        raise TypeError(f"idempotent must be a list of names, not one: [{idempotent!r}]")
    return tuple(dict.fromkeys(map(_name, idempotent)))


def _name(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"idempotent must be a list of names, not of {type(name).__name__}")
    short = name.removesuffix("/*")
    if not short or short.count("/") > 1 or not all(short.split("/")):
        raise ValueError(f"idempotent: {name!r} is neither package.Service nor package.Service/Method")
    return short


def _tracing(target: str, wanted: bool) -> list[grpc.aio.ClientInterceptor]:
    if not wanted:
        return []
    # Here, since only those who want it need its library.
    from roadstead.service.tracing.client import tracing_interceptors

    return tracing_interceptors(target)


def _files(ca_file: str | Path | None, certificate: Tls | None) -> TlsFiles | None:
    """Return the files to follow; None if there are none, and the system's authorities are trusted."""
    if certificate is not None:
        return TlsFiles(certificate.certificate, certificate.key, str(ca_file) if ca_file else certificate.client_ca)
    return TlsFiles(None, None, str(ca_file)) if ca_file else None


def service_config(idempotent: Iterable[str], *, balance: bool) -> dict[str, Any]:
    """Return the grpc service config that repeats idempotent methods and spreads RPCs over addresses."""
    config: dict[str, Any] = {}
    if balance:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    if names := [_method_name(method) for method in _names(idempotent)]:
        config["methodConfig"] = [{"name": names, "retryPolicy": _RETRY}]
    return config


# Five attempts are grpc's own ceiling; together they wait about two seconds, a pod's replacement time.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    # A server that leaves answers CANCELLED to calls that have arrived and that it has not taken up (grpcio 1.85).
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def _method_name(method: str) -> dict[str, str]:
    service, _, name = method.partition("/")
    return {"service": service, "method": name} if name else {"service": service}


def _arguments(idempotent: Iterable[str], balance: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", json.dumps(service_config(idempotent, balance=balance))),
        # Look again soon, after a connection and after names: a Service's address stays while the pods behind it
        # change, and those of a headless one change. grpc's own 30 s between look-ups outlast a rolling update.
        ("grpc.dns_min_time_between_resolutions_ms", 500),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Not more often than servers in general allow (5 minutes without calls); within calls ours allow 10 s.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 0),
    ]


class _Details:
    """Adds what is missing to the details of one call."""

    def __init__(
        self, credentials: Credentials, timeout: float | None, repeated: "_Repeated", hedge: "_Hedge | None"
    ) -> None:
        self._credentials = credentials
        self._timeout = timeout
        self._repeated = repeated
        self._hedge = hedge

    def complete(self, details: Any, *, unary: bool) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        for key, value in self._credentials():
            if metadata.get(key) is None:
                metadata.add(key, value)
        timeout = self._timeout if unary and details.timeout is None else details.timeout
        waits = details.wait_for_ready
        if waits is None and self._repeated.covers(details.method):
            # Said of each call, since a service config counts only once the target's name has been found.
            waits = True
        complete = grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, waits)
        return _with_timeout(complete, shorter(timeout, time_left()))


def _with_timeout(details: grpc.aio.ClientCallDetails, timeout: float | None) -> grpc.aio.ClientCallDetails:
    # grpc rounds up: with no time left a call would still be tried, with less than none it is not.
    if timeout is not None and timeout <= 0:
        timeout = -1.0
    return grpc.aio.ClientCallDetails(
        details.method, timeout, details.metadata, details.credentials, details.wait_for_ready
    )


# grpc.aio takes one interceptor class per kind of RPC and silently uses only the first kind of a class that has more.
class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor, _Details):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        details = self.complete(client_call_details, unary=True)
        if self._hedge is None or not self._repeated.covers(details.method):
            return await continuation(details, request)
        return await self._hedge.call(continuation, details, request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor, _Details):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.complete(client_call_details, unary=False), request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor, _Details):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return _telling(await continuation(self.complete(client_call_details, unary=False), request_iterator))


class _StreamStream(grpc.aio.StreamStreamClientInterceptor, _Details):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return _telling(await continuation(self.complete(client_call_details, unary=False), request_iterator))


def _telling(call: Any) -> Any:
    """Make a call with a request stream tell its true status when it ends before all is sent.

    grpc.aio (1.85, issue 36066 of grpc/grpc) sets INTERNAL "Internal error from Core" if a write fails, and cancels
    the call, and with it the caller's task, if it is the end of the stream that fails. Both fail whenever the server
    has answered already, nine in ten refusals of a chatty client, or the deadline is over. The status follows at once.
    """
    inner = getattr(call, "_cython_call", None)
    if inner is not None:
        call._cython_call = _TrueStatus(inner)
    return call


class _TrueStatus:
    """A core call that does not take a failed write for its end."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def set_internal_error(self, details: str) -> None:
        """Wait for the status that the server has sent; its message is better than `details`."""

    async def send_receive_close(self) -> None:
        """Say that there are no more requests, to whom it still concerns."""
        with suppress(grpc.aio.InternalError):
            await self._inner.send_receive_close()


class _Repeated:
    """Which methods may be carried out more than once."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def covers(self, method: str | bytes) -> bool:
        path = (method.decode() if isinstance(method, bytes) else method).removeprefix("/")
        return path in self._names or path.partition("/")[0] in self._names


class _Hedge:
    """How calls are hedged."""

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self._budget = Budget(hedging.budget)

    async def call(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        started = time.monotonic()

        async def start() -> Any:
            # Each has the time that is left, so that together they take no longer than one.
            spent = time.monotonic() - started
            timeout = None if details.timeout is None else details.timeout - spent
            return await continuation(_with_timeout(details, timeout), request)

        return await hedged(start, self._hedging, self._budget)


def _interceptors(
    credentials: Credentials, timeout: float | None, repeated: _Repeated, hedge: _Hedge | None
) -> list[grpc.aio.ClientInterceptor]:
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    return [kind(credentials, timeout, repeated, hedge) for kind in kinds]

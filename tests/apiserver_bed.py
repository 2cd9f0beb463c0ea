"""An API server to test against: as an application without sockets, or on loopback with TLS and a kubeconfig."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from roadstead.api.errors import ApiError
from roadstead.api.resources import resource
from roadstead.apiserver import bootstrap
from roadstead.apiserver.access.tokens import ServiceAccountTokens, new_key
from roadstead.apiserver.assembly import Assembly, assemble
from roadstead.apiserver.calls import User
from roadstead.apiserver.server import ApiServer, ApiServerConfig
from roadstead.apiserver.store import MemoryStore, Store
from roadstead.apiserver.streams.kubelet import STDERR, STDOUT, ExecSession, Kubelet, LogOptions
from roadstead.lib.pki import CertificateAuthority
from roadstead.lib.tasks import cancel_all

ADMIN = User("admin", ("system:masters",))
TOKENS = {"admin-token": ADMIN, "jane-token": User("jane", ("developers",))}
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Reply:
    code: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Bench:
    """An API server without sockets, and a client that calls its application."""

    def __init__(self, assembly: Assembly, clock: Clock, tokens: ServiceAccountTokens) -> None:
        self.assembly = assembly
        self.clock = clock
        self.tokens = tokens
        self.store = assembly.store

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        token: str = "admin-token",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {"content-type": content_type, "accept": accept, "user-agent": "test/1.0", **(headers or {})}
        if token:
            named["authorization"] = f"Bearer {token}"
        return await self.exchange(method, path, raw, named)

    async def exchange(self, method: str, path: str, raw: bytes, headers: Mapping[str, str]) -> Reply:
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "root_path": "", "scheme": "https", "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 6443), "state": {},
        }  # fmt: skip
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "http.request", "body": raw, "more_body": False})
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await self.assembly.app(scope, incoming.get, keep)
        start = sent[0]
        heads = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], heads, b"".join(message.get("body", b"") for message in sent[1:]))

    async def get(self, path: str, **options: Any) -> Any:
        return (await self.good("GET", path, **options)).json()

    async def good(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        reply = await self.send(method, path, body, **options)
        assert reply.code < 300, (reply.code, reply.body)
        return reply

    async def create(self, path: str, obj: Any, **options: Any) -> Any:
        return (await self.good("POST", path, obj, **options)).json()

    async def patch(self, path: str, patch: Any, kind: str = "merge", **options: Any) -> Reply:
        content_type = "application/apply-patch+yaml" if kind == "apply" else f"application/{kind}-patch+json"
        return await self.send("PATCH", path, patch, content_type=content_type, **options)

    async def refused(self, code: int, method: str, path: str, body: Any = None, **options: Any) -> Any:
        reply = await self.send(method, path, body, **options)
        assert reply.code == code, (reply.code, reply.body)
        status = reply.json()
        assert (status["kind"], status["code"]) == ("Status", code)
        return status


@contextlib.asynccontextmanager
async def bench(store: Store | None = None, kubelet: Kubelet | None = None) -> AsyncIterator[Bench]:
    store = store or MemoryStore()
    clock = Clock()
    tokens = ServiceAccountTokens(new_key(), ISSUER, store, clock)
    assembly = assemble(store, tokens, users=TOKENS, service_cidr="10.96.0.0/16", kubelet=kubelet, clock=clock)
    for obj in (*bootstrap.new_cluster_objects(), *bootstrap.objects()):
        await assembly.ensure(obj)
    background = assembly.start()
    try:
        yield Bench(assembly, clock, tokens)
    finally:
        await cancel_all(background)
        assembly.close_streams()
        await store.aclose()


def configmap(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(name: str, *, node: str = "", image: str = "web:1", **metadata: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "main", "image": image}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def deployment(name: str, replicas: int = 1, image: str = "web:1") -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


CONFIGMAPS = resource("ConfigMap").path("default")
PODS = resource("Pod").path("default")
SERVICES = resource("Service").path("default")
DEPLOYMENTS = resource("Deployment").path("default")


class ProcessSession:
    """An `ExecSession` around a process of the host."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.sizes: list[tuple[int, int]] = []
        self._parts: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._pump = asyncio.gather(*(self._copy(channel) for channel in (STDOUT, STDERR)))
        self._pump.add_done_callback(lambda _: self._parts.put_nowait(None))

    async def _copy(self, channel: int) -> None:
        stream = self.process.stdout if channel == STDOUT else self.process.stderr
        assert stream is not None
        while chunk := await stream.read(32768):
            self._parts.put_nowait((channel, chunk))

    async def write_stdin(self, chunk: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(chunk)
        with contextlib.suppress(OSError):
            await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def read(self) -> tuple[int, bytes] | None:
        return await self._parts.get()

    async def wait(self) -> int:
        return await self.process.wait()

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await asyncio.wait([self._pump])


class HostKubelet:
    """A node agent whose containers are the host itself, and whose logs are what a test says."""

    def __init__(self) -> None:
        self.log: list[bytes] = [b"one\n", b"two\n"]
        self.asked: list[tuple[str, str, str, LogOptions]] = []
        self.sessions: list[ProcessSession] = []
        self.more = asyncio.Event()
        self.refusal: ApiError | None = None

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append((namespace, pod, container, options))
        if self.refusal is not None:
            raise self.refusal
        for line in self.log:
            yield line
        if options.follow:
            await self.more.wait()
            yield b"three\n"

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str],
        *, stdin: bool, stdout: bool, stderr: bool, tty: bool,
    ) -> ExecSession:  # fmt: skip
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        self.sessions.append(ProcessSession(process))
        return self.sessions[-1]

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> ExecSession:
        return await self.exec(
            namespace, pod, container, ("cat",), stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
        )  # fmt: skip

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)


@dataclass(frozen=True)
class Site:
    """Where a server on loopback keeps its files."""

    folder: Path
    config: ApiServerConfig
    listening: socket.socket

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])


def prepare(folder: Path, *, port: int = 0, durable: bool = True, endpoint: tuple[str, int] | None = None) -> Site:
    """Make certificates, a bound socket and a kubeconfig with contexts `certificate`, `token` and `jane`."""
    folder.mkdir(exist_ok=True, parents=True)
    now = datetime.now(UTC)
    authority = CertificateAuthority.load_or_create(folder / "ca.crt", folder / "ca.key", "test", now)
    authority.issue("kube-apiserver", now, hosts=["localhost", "127.0.0.1"]).write(
        folder / "server.crt", folder / "server.key"
    )
    authority.issue("admin", now, organizations=["system:masters"]).write(folder / "admin.crt", folder / "admin.key")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    config = ApiServerConfig(
        state=folder / "state" if durable else None,
        certificate=folder / "server.crt",
        key=folder / "server.key",
        client_ca=folder / "ca.crt",
        tokens=TOKENS,
        endpoint=endpoint,
    )
    site = Site(folder, config, listening)
    site.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(folder, site.port)))
    return site


def _kubeconfig(folder: Path, port: int) -> dict[str, Any]:
    users = {
        "certificate": {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")},
        "token": {"token": "admin-token"},
        "jane": {"token": "jane-token"},
    }
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "test", "user": name}} for name in users],
        "current-context": "certificate",
    }


@contextlib.asynccontextmanager
async def serving(site: Site, kubelet: Kubelet | None = None) -> AsyncIterator[ApiServer]:
    server = ApiServer(site.config, sockets=[site.listening], kubelet=kubelet)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Kubectl:
    """The real kubectl against a site, with a cache of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(site.folder),
            "KUBECONFIG": str(site.kubeconfig),
        }

    async def start(self, *args: str, **streams: Any) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            KUBECTL, *args, env=self.environment, **{"stdin": pipe, "stdout": pipe, "stderr": pipe, **streams}
        )

    async def run(self, *args: str, stdin: str = "") -> Result:
        process = await self.start(*args)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def __call__(self, *args: str, stdin: str = "") -> str:
        """Run a command that must succeed and return what it printed."""
        result = await self.run(*args, stdin=stdin)
        assert result.code == 0, (args, result)
        return result.out

    async def fails(self, *args: str, stdin: str = "") -> str:
        """Run a command that must fail and return its complaint."""
        result = await self.run(*args, stdin=stdin)
        assert result.code != 0, (args, result)
        return result.err

    async def apply(self, *objects: Any, options: Sequence[str] = ()) -> str:
        return await self("apply", "-f", "-", *options, stdin=yaml.safe_dump_all(objects))


KUBECTL = str(Path(sys.executable).with_name("kubectl"))


def with_kubectl(
    folder: Path, conversation: Callable[[Kubectl], Awaitable[None]], kubelet: Kubelet | None = None
) -> None:
    """Run a test's conversation between kubectl and a server on loopback."""

    async def whole() -> None:
        site = prepare(folder)
        async with serving(site, kubelet), asyncio.timeout(100):
            await conversation(Kubectl(site))

    asyncio.run(whole())

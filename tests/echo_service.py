"""An echo service of all four kinds on a real server of either sort, and a client that tells how a call ended."""

import asyncio
import datetime
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import grpc
import grpc.aio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2_grpc

from roadstead.service import RpcError, Server, ThreadedServer, current_call, current_identity
from roadstead.service.interceptors import AsyncChain, Call, Outcome, Stage, ThreadChain

# Handlers of the word "gate" tell that they are there, and wait; tests clear both.
AT_GATE = threading.Event()
GATE = threading.Event()
# What handlers raise for other words; tests add theirs.
RAISED: dict[bytes, Exception | type[Exception]] = {}
# The messages that handlers were given by a server whose requests are messages; tests clear it.
TAKEN: list = []
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
# By how handlers are run, with the stages around them as an interceptor of a plain grpcio server.
SERVERS = ("async", "sync-on-async", "threads")
# The library's own servers, which need no interceptor for it.
OWN_SERVERS = ("Server", "Server, sync", "ThreadedServer")


def do_sync(word: bytes, context) -> bytes | None:
    """What a plain handler does with a word, or with a message."""
    if not isinstance(word, bytes):
        TAKEN.append(word)
        return b"taken"
    match word:
        case b"boom":
            raise ValueError("secret: the database's password")
        case b"abort":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
        case b"refuse":
            raise RpcError(grpc.StatusCode.NOT_FOUND, "no such thing")
        case b"who":
            identity = current_identity()
            return identity.name.encode() if identity else b"nobody"
        case b"call":
            call = current_call()
            return f"{call.method} {call.value('x-tenant')} {call.identity and call.identity.name}".encode()
        case b"sleep":
            time.sleep(0.5)
        case b"gate":
            AT_GATE.set()
            assert GATE.wait(10)
        case _:
            return _rarer(word, context)
    return b"re:" + word


def _rarer(word: bytes, context) -> bytes | None:
    match word:
        case b"none":
            return None
        case b"code":
            context.set_code(grpc.StatusCode.ALREADY_EXISTS)
            context.set_details("there is one")
            return None
        case word if word in RAISED:
            raise RAISED[word]
    return b"re:" + word


async def do_async(word: bytes, context) -> bytes | None:
    while word == b"gate" and not GATE.is_set():
        AT_GATE.set()
        await asyncio.sleep(0.005)
    if word == b"sleep":
        await asyncio.sleep(5)
    if word == b"cancelled":
        task = asyncio.get_running_loop().create_task(asyncio.sleep(10))
        task.cancel()
        await task
    if word == b"abort":
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
    return do_sync(word, context)


def sync_handlers(parse=None) -> dict[str, grpc.RpcMethodHandler]:
    def unary_unary(request, context):
        return do_sync(request, context)

    def unary_stream(request, context):
        for _ in range(2):
            yield do_sync(request, context)

    def stream_unary(requests, context):
        return _joined([do_sync(request, context) for request in requests])

    def stream_stream(requests, context):
        for request in requests:
            yield do_sync(request, context)

    return _handlers(locals())


def async_handlers(parse=None) -> dict[str, grpc.RpcMethodHandler]:
    async def unary_unary(request, context):
        return await do_async(request, context)

    async def unary_stream(request, context):
        for _ in range(2):
            yield await do_async(request, context)

    async def stream_unary(requests, context):
        return _joined([await do_async(request, context) async for request in requests])

    async def stream_stream(requests, context):
        async for request in requests:
            yield await do_async(request, context)

    return _handlers(locals())


def _joined(replies: list) -> bytes | None:
    return None if None in replies else b",".join(replies)


def _handlers(functions) -> dict[str, grpc.RpcMethodHandler]:
    parse = functions["parse"]
    return {kind: getattr(grpc, f"{kind}_rpc_method_handler")(functions[kind], parse) for kind in KINDS}


@dataclass
class Ended:
    """How a call ended for the client."""

    code: str
    details: str = ""
    replies: list[bytes] = field(default_factory=list)
    initial: dict = field(default_factory=dict)
    trailing: dict = field(default_factory=dict)
    seconds: float = 0.0


class Client:
    """A threaded client: grpc.aio's own would sometimes report another status than the server's."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])

    def call(self, kind: str, *words: bytes, metadata: Sequence = (), timeout: float = 10, method: str = "") -> Ended:
        started = time.monotonic()
        invoke = getattr(self._channel, kind)(f"/test.Echo/{method or kind}")
        request = iter(words) if kind.startswith("stream") else words[0]
        call = None
        try:
            if kind.endswith("unary"):
                reply, call = invoke.with_call(request, metadata=metadata, timeout=timeout)
                replies = [reply]
            else:
                call = invoke(request, metadata=metadata, timeout=timeout)
                replies = list(call)
        except grpc.RpcError as error:
            return _ended(error, [], started)
        return _ended(call, replies, started)

    def open(self, kind: str, word: bytes, metadata: Sequence = ()):
        """Start a call and return it, for tests that cancel."""
        invoke = getattr(self._channel, kind)(f"/test.Echo/{kind}")
        request = iter([word]) if kind.startswith("stream") else word
        start = invoke.future if kind.endswith("unary") else invoke
        return start(request, metadata=metadata, timeout=20)

    @contextmanager
    def health(self) -> Iterator[health_pb2_grpc.HealthStub]:
        """A stub of the server's health, over a connection of its own."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            yield health_pb2_grpc.HealthStub(channel)

    def close(self) -> None:
        self._channel.close()


def _ended(call, replies: list[bytes], started: float) -> Ended:
    return Ended(
        code=call.code().name,
        details=call.details(),
        replies=replies,
        initial=dict(call.initial_metadata() or ()),
        trailing=dict(call.trailing_metadata() or ()),
        seconds=time.monotonic() - started,
    )


@contextmanager
def serving(sort: str, *stages: Stage, parse=None) -> Iterator[Client]:
    """A server of one of the sorts with these stages, and a client of it; `parse` makes messages of requests."""
    handlers = async_handlers(parse) if sort in ("async", "Server") else sync_handlers(parse)
    with serving_handlers(sort, handlers, *stages) as client:
        yield client


@contextmanager
def serving_handlers(sort: str, handlers: dict[str, grpc.RpcMethodHandler], *stages: Stage) -> Iterator[Client]:
    """The same with a test's own handlers, by the names of their methods."""
    with _STARTS[sort](stages, handlers) as port:
        client = Client(port)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _threaded_server(stages: Sequence[Stage], handlers) -> Iterator[int]:
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, interceptors=[ThreadChain(*stages)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


class LoopThread:
    """An event loop in a thread, so that a test can be a plain function.

    There is one for the whole run: grpc.aio has one poller per process, and loops that come and go upset it.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine, timeout: float = 20):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


@cache
def loop_thread() -> LoopThread:
    return LoopThread()


@contextmanager
def _async_server(stages: Sequence[Stage], handlers) -> Iterator[int]:
    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(interceptors=[AsyncChain(*stages)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = loop_thread().run(start())
    try:
        yield port
    finally:
        loop_thread().run(server.stop(None))


@contextmanager
def _own_server(stages: Sequence[Stage], handlers) -> Iterator[int]:
    server = Server(port=0, address="127.0.0.1", stages=stages)
    server.add_registered_method_handlers("test.Echo", handlers)
    loop_thread().run(server.start())
    try:
        yield server.port
    finally:
        loop_thread().run(server.stop())


@contextmanager
def _own_threaded_server(stages: Sequence[Stage], handlers) -> Iterator[int]:
    server = ThreadedServer(port=0, address="127.0.0.1", stages=stages, threads=8)
    # As generated code of an older grpcio registers them.
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


_STARTS = {
    "async": _async_server,
    "sync-on-async": _async_server,
    "threads": _threaded_server,
    "Server": _own_server,
    "Server, sync": _own_server,
    "ThreadedServer": _own_threaded_server,
}


class Recorder(Stage):
    """Remembers every RPC's end."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._changed = threading.Condition()

    def observe(self, call: Call, outcome: Outcome) -> None:
        with self._changed:
            self.seen.append((call.method, outcome.code.name))
            self._changed.notify_all()

    def wait(self, count: int, seconds: float = 10) -> list[tuple[str, str]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, seconds), self.seen
            return list(self.seen)


class Certificates:
    """An authority of the test's own, which writes Secrets as the kubelet mounts them."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.ca_pem = self.authority.cert_pem.bytes()
        self._count = 0

    def write(self, name: str):
        """Write a fresh certificate for a host name into a new folder."""
        self._count += 1
        folder = self._folder / f"{name}-{self._count}"
        folder.mkdir()
        issued = self.authority.issue_cert(name)
        (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())
        (folder / "ca.crt").write_bytes(self.ca_pem)
        return folder

    def client(self, uri: str) -> tuple[bytes, bytes]:
        """Return the key and the certificate of a client with a SPIFFE ID; trustme knows no URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(self.ca_pem)
        signer = serialization.load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(issuer.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        encoding = serialization.Encoding.PEM
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return key.private_bytes(encoding, *plain), certificate.public_bytes(encoding)

"""TLSRoutes at a real Envoy, from the manifest on: which connection goes where, which is closed, what a change does."""

import asyncio
import contextlib
import random
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator

import gateway_objects as made
import grpc
import pytest
import trustme
from envoy_bed import HERE, Backend, call, channel, failure, run, running, until
from free_ports import free_port

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.explain import explain
from roadstead.gateway.matching import Request
from roadstead.lib.pki import KeyPair

pytestmark = pytest.mark.e2e

AUTHORITY = trustme.CA()


async def secure(name: str, *hosts: str) -> Backend:
    """Return a backend that ends TLS itself."""
    issued = AUTHORITY.issue_cert(*hosts)
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
    return await Backend(name).start(grpc.ssl_server_credentials([pair]))


def end_of_tls(name: str = "edge") -> Object:
    issued = AUTHORITY.issue_cert("ended.example.com")
    return made.secret(name, KeyPair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()))


async def answer(port: int, name: str) -> str:
    """Return who answers a call by this name, or `closed`."""
    async with channel(port, name, AUTHORITY) as over:
        try:
            return await call(over, timeout=5)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return "closed"


def said(proxy: ir.Proxy, port: int, name: str) -> str:
    """Return what `explain` says of such a connection: the backend's name, or `closed`."""
    stream = explain(proxy, Request(port, name, "/", server_name=name)).stream
    return stream.destinations[0].cluster.split("/")[1] if stream and stream.destinations else "closed"


def test_the_server_name_chooses_the_backend_and_what_no_route_is_for_is_closed(tmp_path):
    async def test():
        port = free_port()
        backends = {name: await secure(name, "*.example.com", "*.bar.example.com") for name in ("foo", "bar", "wild")}
        proxy = made.served_here(
            port,
            {name: backend.port for name, backend in backends.items()} | {"none": 0},
            made.gateway(
                made.tls_listener("wide", "*.example.com"),
                made.tls_listener("narrow", "other.example.com"),
            ),
            made.tls_route("foo", made.backend("foo")),
            made.tls_route("bar", made.backend("bar"), hostnames=["bar.example.com"]),
            made.tls_route("wild", made.backend("wild"), hostnames=["*.bar.example.com"]),
            made.tls_route("none", made.backend("none"), hostnames=["none.example.com"]),
        )
        async with running(tmp_path, proxy) as bed:
            assert bed.state.rejections == ()
            expected = {
                "foo.example.com": "foo",
                "bar.example.com": "bar",
                "a.bar.example.com": "wild",
                "other.example.com": "closed",
                "unknown.example.com": "closed",
            }
            for name, wanted in expected.items():
                assert await answer(port, name) == wanted, name
                assert said(proxy, port, name) == wanted, name
            assert await answer(port, "none.example.com") == "closed"
            await until(lambda: '"route":"TLSRoute user-platform/foo rule 0"' in bed.envoy.access_log(), "it is logged")

    run(test)


def test_connections_are_divided_by_weight_and_the_share_of_invalid_backends_is_closed(tmp_path):
    async def test():
        port = free_port()
        foo, bar = await secure("foo", "*.example.com"), await secure("bar", "*.example.com")
        weighted = [made.backend("foo", weight=2), made.backend("bar", weight=1), made.backend("missing", weight=1)]
        proxy = made.served_here(
            port,
            {"foo": foo.port, "bar": bar.port},
            made.gateway(made.tls_listener()),
            made.tls_route("split", *weighted),
        )
        async with running(tmp_path, proxy):
            found = await asyncio.to_thread(lambda: Counter(shaken(port) for _ in range(200)))
            assert found.keys() == {True, False}
            assert 19 <= found[False] <= 81  # a quarter of 200; outside of this once in a million runs

    run(test)


def shaken(port: int) -> bool:
    """Say whether a backend shakes hands."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    with socket.create_connection((HERE, port), 5) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="foo.example.com"):
                return True
        except (ssl.SSLEOFError, ConnectionError):
            return False


@contextlib.asynccontextmanager
async def shouting() -> AsyncIterator[int]:
    """Serve a protocol that is not HTTP: what comes in goes back in capitals."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_tls_can_end_at_the_gateway_beside_tls_that_passes_and_https(tmp_path):
    async def test():
        port, foo = free_port(), await secure("foo", "foo.example.com")
        plain = await Backend("plain").start()
        async with shouting() as shouter:
            proxy = made.served_here(
                port,
                {"foo": foo.port, "shouter": shouter, "plain": plain.port},
                made.gateway(
                    made.tls_listener("passed", "foo.example.com"),
                    made.tls_listener("ended", "ended.example.com", secret="edge"),
                    made.https_listener("web", "web.example.com", secret="web"),
                ),
                end_of_tls(),
                made.secret("web", pair("web.example.com")),
                made.tls_route("foo", made.backend("foo")),
                made.tls_route("ended", made.backend("shouter"), hostnames=["ended.example.com"]),
                made.grpc_route("web", made.rule(made.backend("plain")), hostnames=["web.example.com"]),
            )
            async with running(tmp_path, proxy) as bed:
                assert bed.state.rejections == ()
                assert await answer(port, "foo.example.com") == "foo"
                assert await answer(port, "web.example.com") == "plain"
                assert await shouted(port, b"hello\n") == b"HELLO\n"

    run(test)


def pair(*hosts: str) -> KeyPair:
    issued = AUTHORITY.issue_cert(*hosts)
    return KeyPair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())


async def shouted(port: int, line: bytes) -> bytes:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    reader, writer = await asyncio.open_connection(HERE, port, ssl=context, server_hostname="ended.example.com")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
    writer.write(line)
    try:
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_another_routes_change_leaves_a_connection_alone(tmp_path):
    async def test():
        port, foo, bar = free_port(), await secure("foo", "foo.example.com"), await secure("bar", "bar.example.com")

        def proxy(*more: Object) -> ir.Proxy:
            return made.served_here(
                port,
                {"foo": foo.port, "bar": bar.port},
                made.gateway(made.tls_listener()),
                made.tls_route("foo", made.backend("foo")),
                *more,
            )

        async with running(tmp_path, proxy()) as bed, channel(port, trust=AUTHORITY) as over:
            stream = over.unary_stream("/com.example.User/Stream")(b"")
            assert await stream.read() == b"foo"
            await bed.serve(proxy(made.tls_route("bar", made.backend("bar"), hostnames=["bar.example.com"])))
            assert await answer(port, "bar.example.com") == "bar"
            await asyncio.sleep(3)  # longer than a drained connection may live here
            assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
            stream.cancel()

    run(test)


def test_a_changed_route_ends_its_connections_after_the_time_for_draining(tmp_path):
    async def test():
        port, foo, bar = free_port(), await secure("foo", "foo.example.com"), await secure("bar", "foo.example.com")

        def proxy(backend: str) -> ir.Proxy:
            route = made.tls_route("route", made.backend(backend))
            return made.served_here(port, {"foo": foo.port, "bar": bar.port}, made.gateway(made.tls_listener()), route)

        async with running(tmp_path, proxy("foo")) as bed, channel(port, trust=AUTHORITY) as over:
            stream = over.unary_stream("/com.example.User/Stream")(b"")
            assert await stream.read() == b"foo"
            await bed.serve(proxy("bar"))
            assert await answer(port, "foo.example.com") == "bar"
            assert await stream.read() == b"foo"  # still, for two seconds here
            error = await failure(_to_its_end(stream))
            assert error.code() is grpc.StatusCode.UNAVAILABLE

    run(test)


async def _to_its_end(stream: grpc.aio.UnaryStreamCall) -> None:
    while await stream.read():
        pass


HOSTS = ["foo.example.com", "bar.example.com", "a.b.example.com", "example.com", "other.org", "x.a.b.example.com"]
PATTERNS = ["foo.example.com", "*.example.com", "*.b.example.com", "example.com", "*.org", "a.b.example.com"]
BACKENDS = ("one", "two", "three")


@contextlib.asynccontextmanager
async def naming(name: str) -> AsyncIterator[int]:
    """Serve what says its name to whoever speaks first."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(name.encode())
        writer.close()

    server = await asyncio.start_server(tell, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def hello(name: str) -> bytes:
    """Return the first words of a TLS client that asks for this name."""
    sent, context = ssl.MemoryBIO(), ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


async def named_by(port: int, name: str) -> str:
    """Return the name that the backend of a connection says, or `closed`."""
    reader, writer = await asyncio.open_connection(HERE, port)
    writer.write(hello(name))
    try:
        return (await reader.read()).decode() or "closed"
    except ConnectionError:
        return "closed"
    finally:
        writer.close()


def random_system(chance: random.Random) -> list[Object]:
    hosts = chance.sample(["", *PATTERNS], chance.randint(1, 4))
    listeners = [made.tls_listener(f"l{number}", host) for number, host in enumerate(hosts)]
    age = [f"2026-11-22T11:0{number}:00Z" for number in range(3)]
    routes = [
        made.tls_route(
            f"r{number}",
            made.backend(chance.choice([*BACKENDS, "missing"])),
            hostnames=chance.sample(PATTERNS, chance.randint(1, 3)),
            parents=[made.parent(**({"sectionName": "l0"} if chance.random() < 0.3 else {}))],
            creationTimestamp=chance.choice(age),
        )
        for number in range(chance.randint(1, 6))
    ]
    return [made.gateway(*listeners), *routes]


def test_envoy_leads_connections_where_explain_says(tmp_path):
    async def test():
        port, found = free_port(), Counter()
        async with contextlib.AsyncExitStack() as stack:
            backends = {name: await stack.enter_async_context(naming(name)) for name in BACKENDS}
            proxies = [made.served_here(port, backends, *random_system(random.Random(seed))) for seed in range(15)]
            bed = await stack.enter_async_context(running(tmp_path, proxies[0]))
            for proxy in proxies:
                assert (await bed.serve(proxy)).rejections == ()
                for name in HOSTS:
                    told = said(proxy, port, name)

                    async def agrees(name: str = name, told: str = told) -> bool:
                        return await named_by(port, name) == told  # workers take a new listener one after the other

                    await until(agrees, f"{name} is led to {told}, as {proxy.listeners} say", 5)
                    found[told] += 1
        assert found.keys() == {*BACKENDS, "closed"}

    run(test)


def test_tcp_is_led_to_the_oldest_route_without_a_look_at_it(tmp_path):
    async def test():
        port = free_port()
        async with shouting() as shouter, naming("other") as other:
            proxy = made.served_here(
                port,
                {"shouter": shouter, "other": other},
                made.gateway(made.tcp_listener()),
                made.tcp_route("first", made.backend("shouter"), creationTimestamp="2026-11-01T00:00:00Z"),
                made.tcp_route("second", made.backend("other")),
            )
            async with running(tmp_path, proxy):
                reader, writer = await asyncio.open_connection(HERE, port)
                writer.write(b"hello\n")
                assert await reader.readline() == b"HELLO\n"
                writer.close()
                await writer.wait_closed()

    run(test)


def test_plain_text_is_not_passed_on(tmp_path):
    async def test():
        port, foo = free_port(), await Backend("foo").start()
        proxy = made.served_here(
            port,
            {"foo": foo.port},
            made.gateway(made.tls_listener()),
            made.tls_route("any", made.backend("foo"), hostnames=[]),
        )
        async with running(tmp_path, proxy), channel(port) as over:
            assert (await failure(call(over, timeout=5))).code() is grpc.StatusCode.UNAVAILABLE
        assert foo.calls == 0

    run(test)

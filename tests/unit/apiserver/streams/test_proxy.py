"""HTTP to pods through the API server, with pods that are servers of the test."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import PODS, SERVICES, Bench, HostKubelet, bench, pod
from polling import until

from roadstead.api.resources import resource
from roadstead.lib.pki import CertificateAuthority
from roadstead.lib.tasks import spawn

Talk = Callable[[Bench, "Backend"], Coroutine[Any, Any, None]]
SLICES = resource("EndpointSlice").path("default")


class Backend:
    """A server in a pod that answers what a test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
        self.port = 0
        self.hold: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        self.asked.append(head + await reader.readexactly(length))
        for part in self.answer.split(b"|"):
            writer.write(part)
            await writer.drain()
            if self.hold is not None:
                await self.hold.wait()
        writer.close()


@contextlib.asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[Backend]:
    backend = Backend()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, ssl=tls)
    backend.port = server.sockets[0].getsockname()[1]
    async with server:
        yield backend


def talk(conversation: Talk) -> None:
    async def whole() -> None:
        async with listening() as backend, bench(kubelet=HostKubelet()) as server:
            made = pod("web", node="here")
            made["spec"]["containers"][0]["ports"] = [{"containerPort": backend.port}]
            await server.create(PODS, made)
            await conversation(server, backend)

    asyncio.run(whole())


def test_a_request_reaches_the_pod_and_its_answer_the_client() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        backend.answer = b"HTTP/1.1 418 I'm a teapot\r\nx-own: 1\r\nconnection: close\r\ncontent-length: 3\r\n\r\ntea"
        reply = await server.send("POST", f"{PODS}/web:{backend.port}/proxy/a%2Fb//c?d=e%20f", b"body")
        assert (reply.code, reply.body) == (418, b"tea")
        assert reply.headers == {"x-own": "1", "content-length": "3"}
        (asked,) = backend.asked
        assert asked.startswith(b"POST /a%2Fb//c?d=e%20f HTTP/1.1\r\n")
        assert asked.endswith(b"\r\n\r\nbody")
        assert b"authorization" not in asked.lower()

    talk(conversation)


def test_a_pod_is_asked_at_its_first_port_and_from_its_root() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        assert (await server.send("GET", f"{PODS}/web/proxy/")).body == b"ok"
        assert backend.asked[0].startswith(b"GET / HTTP/1.1\r\n")
        moved = await server.send("GET", f"{PODS}/web/proxy?a=b")
        assert (moved.code, moved.headers["location"]) == (301, f"{PODS}/web/proxy/?a=b")
        assert (await server.send("POST", f"{PODS}/web/proxy")).code == 200, "only who reads is led elsewhere"
        backend.answer = b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n"
        found = await server.send("GET", f"{PODS}/web/proxy/x")
        assert found.headers["location"] == f"{PODS}/web/proxy/login"

    talk(conversation)


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n|3\r\ndef\r\n0\r\n\r\n", b"abcdef"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nuntil |the end", b"until the end"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b""),
        ("DELETE", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
    ],
)
def test_answers_of_every_form_are_passed_on(method: str, answer: bytes, body: bytes) -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        backend.answer = answer
        reply = await server.send(method, f"{PODS}/web/proxy/")
        assert (reply.code // 100, reply.body) == (2, body)
        assert backend.asked[0].startswith(method.encode())

    talk(conversation)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 20"])
def test_what_is_no_answer_is_unavailable(answer: bytes) -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        backend.answer = answer
        refused = await server.refused(503, "GET", f"{PODS}/web/proxy/")
        assert refused["message"].startswith("error trying to reach service: ")

    talk(conversation)


def test_an_answer_that_is_cut_short_is_not_made_whole() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        for framing in (b"content-length: 99", b"transfer-encoding: chunked"):
            backend.answer = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nabcde\r\n|"
            scope = {
                "type": "http", "method": "GET", "path": f"{PODS}/web/proxy/", "query_string": b"",
                "headers": [(b"authorization", b"Bearer admin-token")], "state": {},
            }  # fmt: skip
            incoming: asyncio.Queue[Any] = asyncio.Queue()
            incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
            await server.assembly.app(scope, incoming.get, keep)
            assert sent[-1].get("more_body") is True, "it is never said to be complete"

    talk(conversation)


def test_services_lead_to_their_ready_pods() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        ports = [{"name": "http", "port": 80}]
        await server.create(SERVICES, {"metadata": {"name": "shop"}, "spec": {"ports": ports}})
        refused = await server.refused(503, "GET", f"{SERVICES}/shop:80/proxy/")
        assert refused["message"] == 'no endpoints available for service "shop"'
        await server.create(SLICES, {
            "metadata": {"name": "shop-1", "labels": {"kubernetes.io/service-name": "shop"}}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": backend.port}],
            "endpoints": [{
                "addresses": ["10.244.0.2"], "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"},
            }],
        })  # fmt: skip
        for name in ("shop:80", "shop:http", "http:shop:80"):
            assert (await server.send("GET", f"{SERVICES}/{name}/proxy/x")).body == b"ok"
        await server.refused(503, "GET", f"{SERVICES}/shop:81/proxy/x")
        await server.refused(400, "GET", f"{SERVICES}/ftp:shop:80/proxy/x")

    talk(conversation)


def test_a_pod_may_speak_tls_with_any_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority.load_or_create(tmp_path / "ca.crt", tmp_path / "ca.key", "test", datetime.now(UTC))
    authority.issue("pod", datetime.now(UTC), hosts=["pod"]).write(tmp_path / "tls.crt", tmp_path / "tls.key")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")

    async def whole() -> None:
        async with listening(tls) as backend, bench(kubelet=HostKubelet()) as server:
            await server.create(PODS, pod("web", node="here"))
            assert (await server.send("GET", f"{PODS}/https:web:{backend.port}/proxy/")).body == b"ok"
            await server.refused(503, "GET", f"{PODS}/http:web:{backend.port}/proxy/")

    asyncio.run(whole())


def test_who_may_not_proxy_does_not() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        refused = await server.refused(403, "GET", f"{PODS}/web/proxy/secret/file", token="jane-token")
        assert 'cannot get resource "pods/proxy"' in refused["message"]
        refused = await server.refused(403, "POST", f"{SERVICES}/web:80/proxy/", token="jane-token")
        assert 'cannot create resource "services/proxy"' in refused["message"]
        assert backend.asked == []

    talk(conversation)


def test_a_pod_that_is_not_there_or_does_not_listen_is_said_so() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        assert (await server.refused(404, "GET", f"{PODS}/none:80/proxy/"))["message"] == 'pods "none" not found'
        await server.create(PODS, pod("waiting"))
        await server.refused(400, "GET", f"{PODS}/waiting/proxy/")
        await server.refused(404, "GET", "/api/v1/namespaces/default/configmaps/a/proxy/b")
        await server.refused(404, "GET", f"{PODS}/web/log/b")

    talk(conversation)


def test_a_client_that_leaves_or_a_server_that_stops_ends_the_request() -> None:
    async def conversation(server: Bench, backend: Backend) -> None:
        backend.hold = asyncio.Event()
        backend.answer = b"HTTP/1.1 200 OK\r\n\r\nbegun|"
        asking = spawn(server.send("GET", f"{PODS}/web/proxy/"), name="client")
        await until(lambda: backend.asked)
        server.assembly.close_streams()
        await asyncio.wait([asking])
        backend.hold.set()

    talk(conversation)

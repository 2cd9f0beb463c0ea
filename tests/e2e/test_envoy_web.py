"""What browsers send reaches gRPC services: gRPC-Web, binary and as text, and the questions that browsers ask first."""

import asyncio
import base64
import struct
from collections.abc import Iterable
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import gateway_objects as made
import grpc
import pytest
from envoy_bed import HERE, SERVICE, Backend, call, channel, run, running
from free_ports import free_port

from roadstead.gateway import ir

pytestmark = pytest.mark.e2e

ORIGIN = "https://app.example.com"
WEB = {"roadstead.dev/grpc-web": "true", "roadstead.dev/cors-allow-origins": f"{ORIGIN}, https://*.example.org"}
MESSAGE, TRAILERS = 0, 0x80


def served(port: int, backend: Backend, annotations: dict[str, str]) -> ir.Proxy:
    """Return a Gateway with a GRPCRoute that lets two methods and canaries of a third through."""
    matches = [made.method(SERVICE, "Login"), made.method(SERVICE, "Stream")]
    matches.append(made.method(SERVICE, "Canary") | {"headers": [{"name": "env", "value": "canary"}]})
    route = made.grpc_route("web", made.rule(made.backend("web"), matches=matches), annotations=annotations)
    objects = [made.service("web"), made.endpoint_slice("web", HERE, port=backend.port), route]
    gateway = made.gateway(made.http_listener(port=port))
    return made.translated(made.gateway_class(), gateway, *objects).proxies[made.PROXY]


def frame(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack(">I", len(body)) + body


def frames(body: bytes) -> Iterable[tuple[int, bytes]]:
    while body:
        length = int.from_bytes(body[1:5], "big")
        yield body[0], body[5 : 5 + length]
        body = body[5 + length :]


def decoded(response: HTTPResponse) -> list[tuple[int, bytes]]:
    """Return the frames of an answer; as text it is several pieces of base64, each with its own padding."""
    body = response.read()
    if "-text" in response.headers["content-type"]:
        body = b"".join(base64.b64decode(piece) for piece in _pieces(body))
    return list(frames(body))


def _pieces(text: bytes) -> list[bytes]:
    return [text[start : start + 4] for start in range(0, len(text), 4)]


class Browser:
    """Speaks HTTP/1.1, as a browser that is told nothing else."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> HTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"connection": "close"}
        return await asyncio.to_thread(self._send, method, path, body, named)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        connection = HTTPConnection(HERE, self._port, timeout=10)
        connection.request(method, path, body, headers)
        return connection.getresponse()

    async def call(self, name: str, body: bytes = b"", content: str = "", **headers: str) -> HTTPResponse:
        """Make a call of gRPC-Web; `content` is `-text` for text."""
        framed = frame(MESSAGE, body)
        sent = base64.b64encode(framed) if content == "-text" else framed
        asked = {"content_type": f"application/grpc-web{content}+proto", "x_grpc_web": "1", "origin": ORIGIN}
        asked["accept"] = asked["content_type"]
        return await self.send("POST", f"/{SERVICE}/{name}", sent, **asked, **headers)

    async def ask(self, name: str, origin: str) -> HTTPResponse:
        """Ask as browsers do before a call: without the metadata of the call."""
        asked = {"origin": origin, "access_control_request_method": "POST"}
        return await self.send("OPTIONS", f"/{SERVICE}/{name}", **asked)


def scenario(tmp_path: Path, annotations: dict[str, str], test: Any) -> None:
    async def go() -> None:
        port, backend = free_port(), await Backend("web").start()
        async with running(tmp_path, served(port, backend, annotations)):
            await test(port, Browser(port), backend)

    run(go)


@pytest.mark.parametrize("content", ["", "-text"])
def test_a_browser_calls_a_method(content: str, tmp_path: Path) -> None:
    async def test(port: int, browser: Browser, backend: Backend) -> None:
        with closing(await browser.call("Login", b"x", content, authorization="Bearer token")) as answer:
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
            assert "grpc-status" in answer.headers["access-control-expose-headers"]
            assert answer.headers["content-type"] == f"application/grpc-web{content}+proto"
            (kind, body), (last, trailers) = decoded(answer)
        assert (kind, body) == (MESSAGE, b"web")
        assert last == TRAILERS
        assert b"grpc-status:0" in trailers
        assert backend.metadata["authorization"] == "Bearer token"
        async with channel(port) as over:
            assert await call(over) == "web"  # gRPC itself is what it was

    scenario(tmp_path, WEB, test)


@pytest.mark.parametrize("content", ["", "-text"])
def test_messages_of_a_stream_arrive_one_by_one(content: str, tmp_path: Path) -> None:
    async def test(_port: int, browser: Browser, backend: Backend) -> None:
        with closing(await browser.call("Stream", b"", content)) as answer:
            first = await asyncio.to_thread(answer.read1)
            assert first  # before the stream has ended
            backend.ending.set()
            body = first + await asyncio.to_thread(answer.read)
        if content:
            body = b"".join(base64.b64decode(piece) for piece in _pieces(body))
        *messages, (last, trailers) = frames(body)
        assert set(messages) == {(MESSAGE, b"web")}
        assert last == TRAILERS
        assert b"grpc-status:0" in trailers

    scenario(tmp_path, WEB, test)


def test_a_browser_may_ask_first_and_only_named_origins_get_permission(tmp_path: Path) -> None:
    async def test(_port: int, browser: Browser, backend: Backend) -> None:
        for origin in (ORIGIN, "https://shop.example.org"):
            for name in ("Login", "Canary"):
                with closing(await browser.ask(name, origin)) as answer:
                    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
                    assert "x-grpc-web" in answer.headers["access-control-allow-headers"]
                    assert "POST" in answer.headers["access-control-allow-methods"]
                    assert answer.headers["access-control-max-age"] == "3600"
        with closing(await browser.ask("Login", "https://evil.example.com")) as answer:
            assert answer.headers["access-control-allow-origin"] is None
        assert backend.calls == 0

    scenario(tmp_path, WEB, test)


def test_a_browser_is_routed_by_the_same_matches(tmp_path: Path) -> None:
    async def test(_port: int, browser: Browser, _backend: Backend) -> None:
        with closing(await browser.call("Canary")) as answer:
            assert answer.status == 404
        with closing(await browser.call("Canary", env="canary")) as answer:
            assert next(iter(decoded(answer))) == (MESSAGE, b"web")

    scenario(tmp_path, WEB, test)


def test_the_gateways_own_refusal_is_one_that_a_client_can_read(tmp_path: Path) -> None:
    async def test() -> None:
        port = free_port()
        route = made.grpc_route("web", made.rule(made.backend("gone")), annotations=WEB)
        gateway = made.gateway(made.http_listener(port=port))
        async with running(tmp_path, made.translated(made.gateway_class(), gateway, route).proxies[made.PROXY]):
            with closing(await Browser(port).call("Login")) as answer:
                assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNAVAILABLE.value[0])
                assert "Service user-platform/gone" in answer.headers["grpc-message"]

    run(test)


def test_without_the_annotation_there_is_no_grpc_web(tmp_path: Path) -> None:
    async def test(_port: int, browser: Browser, backend: Backend) -> None:
        with closing(await browser.call("Login")) as answer:
            assert answer.status == 404
        assert backend.calls == 0

    scenario(tmp_path, {}, test)

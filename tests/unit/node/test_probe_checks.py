"""The one request of a probe, against servers that answer as they should and as they should not."""

import asyncio

import pytest

from roadstead.node.grpc_health import Exchange
from roadstead.node.probe_checks import check
from roadstead.node.probes import Probe, Purpose

SERVING = bytes.fromhex("000000040000000000") + bytes.fromhex("00000700000000000100000000020801")


def run(
    kind: str, handler: dict, answer: bytes = b"", *, timeout: float = 1.0, execute=None
) -> tuple[str | None, bytes]:
    """Probe a server that sends `answer` at once; return the problem and what the server was sent."""
    heard, served = bytearray(), asyncio.Event()

    async def serve(reader, writer):
        heard.extend(await reader.read(4096))
        writer.write(answer)
        if not answer:
            await reader.read()  # until the client gives up
        writer.close()
        served.set()

    async def probe():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        asked = Probe(Purpose.READINESS, kind, {"port": port, **handler}, timeout=timeout)
        container = {"ports": [{"name": "web", "containerPort": port}]}
        try:
            problem = await check(asked, container, "127.0.0.1", asyncio.open_connection, execute)
            if heard or (kind == "tcpSocket" and problem is None):
                await served.wait()
            return problem
        finally:
            server.close()
            await server.wait_closed()

    return asyncio.run(probe()), bytes(heard)


def test_a_grpc_service_that_serves():
    problem, heard = run("grpc", {"service": "com.example.User"}, SERVING)
    assert problem is None
    assert b"com.example.User" in heard


def test_a_grpc_service_that_does_not_serve_is_named():
    assert run("grpc", {"service": "x"}, SERVING[:-1] + b"\x02")[0] == "service 'x' is NOT_SERVING"
    assert "is this a gRPC port?" in (run("grpc", {}, b"HTTP/1.1 400 Bad\r\n\r\n")[0] or "")
    assert Exchange().health is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"HTTP/1.0 302 Found\r\n", None),
        (b"HTTP/1.1 503 Busy\r\n", "HTTP probe failed with statuscode: 503"),
        (b"SSH-2.0\r\n", "the answer is not HTTP: b'SSH-2.0\\r\\n'"),
    ],
)
def test_http_answers(answer, problem):
    handler = {"path": "healthz", "httpHeaders": [{"name": "X-Probe", "value": "1"}], "port": "web"}
    told, heard = run("httpGet", handler, answer)
    assert told == problem
    assert heard.startswith(b"GET /healthz HTTP/1.1\r\n") and b"X-Probe: 1\r\n" in heard


def test_a_connection_is_enough_for_tcp_and_refusal_is_told():
    assert run("tcpSocket", {})[0] is None
    assert "Connect call failed" in (run("tcpSocket", {"port": 1})[0] or "")


def test_a_port_without_a_name_and_a_slow_answer_are_told():
    assert run("tcpSocket", {"port": "nothing"})[0] == "port 'nothing' is not the name of a port of this container"
    assert run("httpGet", {}, b"", timeout=0.1)[0] == "no answer within 0.1 s"


def test_commands_are_judged_by_their_exit_code():
    async def fails(argv):
        return 3, f"cannot {argv[0]}\n".encode()

    async def works(argv):
        return 0, b""

    assert run("exec", {"command": ["look"]}, execute=works)[0] is None
    assert run("exec", {"command": ["look"]}, execute=fails)[0] == "exit code 3: cannot look"

import asyncio
import ssl

import pytest
import trustme
from polling import until
from scripted_server import scripted_server

from roadstead.client.credentials import Credentials
from roadstead.client.http import HttpClient, ServerUnreachable
from roadstead.client.requests import Request

GET = Request("GET", "/x")


def converse(handler, conversation, **options):
    async def run():
        async with scripted_server(handler) as server:
            client = HttpClient(server.url, None, user_agent="test")
            try:
                return await conversation(client, server)
            finally:
                await client.aclose()

    return asyncio.run(run())


async def echo(seen, answer):
    await answer.send({"body": seen.body.decode(), "token": seen.headers.get("authorization")})


def test_requests_share_a_connection():
    async def conversation(client, server):
        for _ in range(3):
            status, _, body = await client.request(Request("POST", "/x", b"hi", "text/plain"), "t", 5)
            assert (status, body) == (200, b'{"body": "hi", "token": "Bearer t"}')
        return server.connections

    assert converse(echo, conversation) == 1


def test_requests_at_the_same_time_use_connections_of_their_own():
    async def conversation(client, server):
        await asyncio.gather(*(client.request(GET, "", 5) for _ in range(5)))
        return server.connections

    assert 1 < converse(echo, conversation) <= 5


def test_a_body_in_chunks_arrives_as_it_is_sent():
    gate = asyncio.Event()

    async def handler(_, answer):
        await answer.start()
        await answer.raw(b"one\ntw")
        await gate.wait()
        await answer.raw(b"o\nthree")
        await answer.end()

    async def conversation(client, _):
        response = await client.stream(GET, "")
        lines = response.lines(5)
        assert await anext(lines) == b"one"
        gate.set()
        assert [line async for line in lines] == [b"two", b"three"]
        client.release(response)

    converse(handler, conversation)


def test_a_reader_that_is_slow_stops_the_sender_and_loses_nothing():
    block = b"x" * 65536

    async def handler(_, answer):
        await answer.start()
        for _ in range(100):
            await answer.raw(block)
        await answer.end()

    async def conversation(client, _):
        response = await client.stream(GET, "")
        await until(lambda: response._buffered >= 1 << 20)
        await asyncio.sleep(0.1)
        assert not response.complete
        assert response._buffered < 3 << 20
        assert len(await response.read()) == 100 * len(block)

    converse(handler, conversation)


def test_a_read_on_a_connection_that_the_server_closed_is_repeated_and_a_write_is_not():
    state = {"close": False}

    async def handler(seen, answer):
        if state["close"]:
            state["close"] = False
            answer.break_off()
        else:
            await answer.send({})

    async def conversation(client, _):
        await client.request(GET, "", 5)
        state["close"] = True
        assert (await client.request(GET, "", 5))[0] == 200
        state["close"] = True
        with pytest.raises(ServerUnreachable):
            await client.request(Request("POST", "/x", b"{}"), "", 5)

    converse(handler, conversation)


def test_an_answer_cut_short_is_an_error():
    async def handler(_, answer):
        await answer.start()
        await answer.raw(b"half")
        answer.break_off()

    async def conversation(client, _):
        with pytest.raises(ServerUnreachable, match="closed"):
            await client.request(GET, "", 5)

    converse(handler, conversation)


def test_an_answer_that_is_not_http_is_an_error():
    async def handler(_, answer):
        answer._writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async def conversation(client, _):
        with pytest.raises(ServerUnreachable, match="not HTTP"):
            await client.request(GET, "", 5)

    converse(handler, conversation)


def test_silence_is_an_error_for_requests_and_for_streams():
    async def handler(seen, answer):
        if seen.path == "/stream":
            await answer.start()
        await asyncio.Event().wait()

    async def conversation(client, _):
        with pytest.raises(ServerUnreachable, match="no answer within"):
            await client.request(GET, "", 0.05)
        response = await client.stream(Request("GET", "/stream"), "")
        with pytest.raises(ServerUnreachable, match="silent"):
            await anext(response.lines(0.05))

    converse(handler, conversation)


def test_nobody_listens():
    async def run():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        client = HttpClient(f"http://127.0.0.1:{port}", None, user_agent="test")
        with pytest.raises(ServerUnreachable, match=f"cannot connect to 127.0.0.1:{port}"):
            await client.request(GET, "", 5)

    asyncio.run(run())


def test_a_cancelled_request_gives_its_connection_up():
    async def handler(seen, answer):
        if seen.path == "/hang":
            await asyncio.Event().wait()
        await answer.send({"path": seen.path})

    async def conversation(client, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request(Request("GET", "/hang"), "", 9), 0.05)
        assert (await client.request(GET, "", 5))[2] == b'{"path": "/x"}'

    converse(handler, conversation)


def test_tls_with_the_right_authority_and_with_a_wrong_one():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def run():
        async with scripted_server(echo, ssl=context) as server:
            good = HttpClient(server.url, _trust(authority), user_agent="test")
            assert (await good.request(GET, "", 5))[0] == 200
            await good.aclose()
            bad = HttpClient(server.url, _trust(trustme.CA()), user_agent="test")
            with pytest.raises(ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await bad.request(GET, "", 5)

    asyncio.run(run())


def _trust(authority):
    return Credentials(ca_pem=authority.cert_pem.bytes()).ssl_context()

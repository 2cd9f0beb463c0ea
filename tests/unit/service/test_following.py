"""A channel whose files change, on real servers with mutual TLS."""

import asyncio
import shutil
from collections import Counter

import grpc
import pytest
from echo_service import async_handlers
from polling import until
from structlog.testing import capture_logs

from roadstead.lib.tasks import spawn
from roadstead.service import Server, Tls, following
from roadstead.service.channel import channel
from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.following import FollowingChannel
from roadstead.service.interceptors import Authentication


@pytest.fixture
def mounted(certificates):
    return certificates.write("one.example.com")


@pytest.fixture
def server(loop_thread, certificates):
    server = Server(
        port=0,
        address="127.0.0.1",
        stages=[Authentication(certificates=CertificateVerifier())],
        tls=Tls.from_directory(certificates.write("localhost"), mutual=True),
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", async_handlers()),))
    loop_thread.run(server.start())
    yield server
    loop_thread.run(server.stop())


def opened(server, mounted) -> FollowingChannel:
    made = channel(
        f"127.0.0.1:{server.port}", certificate=Tls.from_directory(mounted, mutual=True), authority="localhost"
    )
    assert isinstance(made, FollowingChannel)
    return made


def mount(certificates, folder, name: str) -> None:
    """Put a new certificate in the place of the old one, as the kubelet does: each file at once."""
    fresh = certificates.write(name)
    for file in ("tls.crt", "tls.key", "ca.crt"):
        (fresh / file).replace(folder / file)


async def shown(channel) -> str:
    return (await channel.unary_unary("/test.Echo/unary_unary")(b"who", timeout=10)).decode()


async def stream_shown(channel, kind: str) -> str:
    request = iter([b"who"]) if kind.startswith("stream") else b"who"
    call = getattr(channel, kind)(f"/test.Echo/{kind}")(request, timeout=10)
    if kind.endswith("unary"):
        return (await call).decode()
    replies = [reply async for reply in call]
    return replies[0].decode()


def test_a_new_certificate_is_shown_and_no_call_is_lost(loop_thread, certificates, server, mounted):
    async def scenario() -> tuple[Counter, Counter]:
        ended, seen, stop = Counter(), Counter(), asyncio.Event()

        async def load(client) -> None:
            while not stop.is_set():
                try:
                    seen[await shown(client)] += 1
                except grpc.aio.AioRpcError as error:
                    ended[f"{error.code().name}: {error.details()}"] += 1

        async with opened(server, mounted) as client:
            loads = [spawn(load(client), name="load") for _ in range(8)]
            for number in (2, 3):
                await until(lambda: sum(seen.values()) > 20)
                mount(certificates, mounted, f"{number}.example.com")
                await until(lambda number=number: seen[f"{number}.example.com"] > 20)
            stop.set()
            await asyncio.gather(*loads)
        return ended, seen

    ended, seen = loop_thread.run(scenario())
    assert ended == {}
    assert set(seen) == {"one.example.com", "2.example.com", "3.example.com"}


def test_a_stream_ends_on_the_old_connection_which_is_closed_then(loop_thread, certificates, server, mounted):
    async def scenario() -> None:
        async with opened(server, mounted) as client:
            old = client.current()
            call = client.stream_stream("/test.Echo/stream_stream")()
            await call.write(b"who")
            assert await call.read() == b"one.example.com"
            mount(certificates, mounted, "two.example.com")
            await until(lambda: client.current() is not old)
            assert await shown(client) == "two.example.com"
            await call.write(b"who")
            assert await call.read() == b"one.example.com"
            assert old.channel.get_state() is not grpc.ChannelConnectivity.SHUTDOWN
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            await until(lambda: old.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)

    loop_thread.run(scenario())


def test_all_kinds_of_calls_of_one_stub_go_over(loop_thread, certificates, server, mounted, kind):
    async def scenario() -> list[str]:
        async with opened(server, mounted) as client:
            first, old = await stream_shown(client, kind), client.current()
            mount(certificates, mounted, "two.example.com")
            await until(lambda: client.current() is not old)
            return [first, await stream_shown(client, kind)]

    assert loop_thread.run(scenario()) == ["one.example.com", "two.example.com"]


def test_a_key_that_does_not_fit_changes_nothing(loop_thread, certificates, server, mounted):
    async def scenario() -> str:
        async with opened(server, mounted) as client:
            await shown(client)
            shutil.copy(certificates.write("other.example.com") / "tls.key", mounted / "new")
            (mounted / "new").replace(mounted / "tls.key")
            with capture_logs() as logs:
                await until(lambda: client.current() and any("not reloaded" in log["event"] for log in logs))
            assert "are no certificate and its key" in logs[0]["error"]
            return await shown(client)

    assert loop_thread.run(scenario()) == "one.example.com"


def test_authorities_are_followed_too(loop_thread, certificates, server, tmp_path, monkeypatch):
    monkeypatch.setattr(following, "_PATIENCE", 0.1)
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(certificates.ca_pem)

    async def scenario() -> None:
        async with channel(f"127.0.0.1:{server.port}", ca_file=trusted, authority="localhost") as client:
            old = client.current()
            (tmp_path / "more").write_bytes(certificates.ca_pem * 2)
            (tmp_path / "more").replace(trusted)
            # No connection comes about: this server wants a certificate. The new channel takes over all the same.
            await until(lambda: client.current() is not old)

    loop_thread.run(scenario())


def test_files_that_are_unusable_at_first_are_an_error(certificates, tmp_path):
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ValueError, match="has no certificates of authorities"):
        channel("127.0.0.1:1", ca_file=tmp_path / "ca.pem")
    with pytest.raises(FileNotFoundError):
        channel("127.0.0.1:1", ca_file=tmp_path / "nowhere.pem")


def test_it_closes_what_it_has_opened(loop_thread, certificates, server, mounted):
    async def scenario() -> None:
        client = opened(server, mounted)
        await client.channel_ready()
        assert client.get_state() is grpc.ChannelConnectivity.READY
        old = client.current()
        mount(certificates, mounted, "two.example.com")
        await until(lambda: client.current() is not old or client._renewal)
        await client.close()
        assert old.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
        assert client.get_state() is grpc.ChannelConnectivity.SHUTDOWN

    loop_thread.run(scenario())

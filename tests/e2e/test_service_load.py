"""Servers as real processes under attack and load: guessing, ten thousand streams, new certificates on both sides."""

import asyncio
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from echo_service import Certificates, loop_thread
from free_ports import free_port
from polling import until

from roadstead.lib.tasks import spawn
from roadstead.service import Tls
from roadstead.service.channel import channel
from roadstead.service.passwords import hash_password

pytestmark = pytest.mark.e2e

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import grpc
from echo_service import async_handlers, sync_handlers
from roadstead.service import Server, ThreadedServer, Tls, run, standard_stages
from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.credentials.forwarded import TrustedGateways

folder, sort, port = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
gateways = TrustedGateways.of(networks=["127.0.0.0/8"])
settings = {}
if (folder / "policy.yaml").exists():
    settings["stages"] = standard_stages(
        passwords=folder / "passwords", policy=folder / "policy.yaml", gateways=gateways,
        certificates=CertificateVerifier() if (folder / "tls").exists() else None,
    )
if (folder / "tls").exists():
    settings["tls"] = Tls.from_directory(folder / "tls", mutual=True)
kind, handlers = (Server, async_handlers()) if sort == "async" else (ThreadedServer, sync_handlers())
server = kind(port=port, address="127.0.0.1", **settings)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
run(server)
"""
POLICY = "{roles: {all: [test.Echo/*]}, identities: {alice: [all], bob: [all], client.example.com: [all]}}"


@pytest.fixture
def start(tmp_path):
    """Start the program; its folder may hold a policy, passwords and certificates."""
    started = []

    def start(sort: str) -> tuple[subprocess.Popen, int]:
        port = free_port()
        tests = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", PROGRAM, tests, str(tmp_path), sort, str(port)]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1], port

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def plain_channel(port: int) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])


def attempt(channel: grpc.Channel, name: str, password: str, client: str) -> tuple[str, float]:
    """Return how a call ended, and after how many seconds."""
    metadata = (("username", name), ("password", password), ("x-forwarded-for", client))
    began = time.monotonic()
    try:
        channel.unary_unary("/test.Echo/unary_unary")(b"x", metadata=metadata, timeout=20, wait_for_ready=True)
    except grpc.RpcError as error:
        return error.code().name, time.monotonic() - began
    return "OK", time.monotonic() - began


@pytest.mark.parametrize("sort", ["async", "threads"])
@pytest.mark.parametrize("names", [["alice"], [f"user-{number}" for number in range(1000)]], ids=["one", "many"])
def test_guessing_is_slowed_and_slows_nobody_else(start, tmp_path, sort, names):
    (tmp_path / "policy.yaml").write_text(POLICY)
    hashed = {name: hash_password(password) for name, password in (("alice", "wonderland"), ("bob", "builder"))}
    (tmp_path / "passwords").write_text("".join(f"{name}:{value}\n" for name, value in hashed.items()))
    _, port = start(sort)
    guesses: Counter[str] = Counter()
    stop = threading.Event()
    with plain_channel(port) as honest, plain_channel(port) as attacker:
        assert attempt(honest, "alice", "wonderland", "198.51.100.1")[0] == "OK"

        def guess(number: int) -> None:
            count = 0
            while not stop.is_set():
                name = names[(number + 6 * count) % len(names)]
                guesses[attempt(attacker, name, f"guess-{number}-{count}", "203.0.113.9")[0]] += 1
                count += 1

        threads = [threading.Thread(target=guess, args=(number,)) for number in range(6)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        # Somebody who is known goes on, and somebody comes for the first time, in the middle of it.
        known = [attempt(honest, "alice", "wonderland", "198.51.100.1") for _ in range(100)]
        newcomer = attempt(honest, "bob", "builder", "198.51.100.2")
        while guesses.total() < 80:
            known.append(attempt(honest, "alice", "wonderland", "198.51.100.1"))
        stop.set()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    assert set(guesses) == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    allowed = 5 + took / 2 if len(names) == 1 else 30 + took * 4
    assert guesses["UNAUTHENTICATED"] <= allowed + 1, "each of these is a guess that told the attacker something"
    assert {code for code, _ in known} == {"OK"}
    assert newcomer[0] == "OK"
    assert statistics.median(seconds for _, seconds in known) < 0.25
    assert newcomer[1] < 5


def test_ten_thousand_open_streams(start):
    count, channels = 10_000, 100
    process, port = start("async")

    async def scenario() -> None:
        opened = [
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
            for _ in range(channels)
        ]
        async with asyncio.timeout(60):
            await opened[0].channel_ready()
        calls = [opened[number % channels].stream_stream("/test.Echo/stream_stream")() for number in range(count)]

        async def exchange(call) -> bytes:
            await call.write(b"hello")
            return await call.read()

        began = time.monotonic()
        async with asyncio.timeout(80):
            replies = [await asyncio.gather(*(exchange(call) for call in calls)) for _ in range(2)]
        assert [set(each) for each in replies] == [{b"re:hello"}] * 2
        assert time.monotonic() - began < 60
        assert rss_megabytes(process.pid) < 600
        async with asyncio.timeout(60):
            await asyncio.gather(*(call.done_writing() for call in calls))
            codes = Counter([(await call.code()).name for call in calls])
        assert codes == {"OK": count}
        await asyncio.gather(*(each.close() for each in opened))

    loop_thread().run(scenario(), timeout=115)


def rss_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.parametrize("sort", ["async", "threads"])
def test_new_certificates_on_both_sides_lose_no_call(start, tmp_path, sort):
    certificates = Certificates(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "passwords").write_text("")
    certificates.write("localhost").rename(tmp_path / "tls")
    certificates.write("client.example.com").rename(tmp_path / "mounted")
    _, port = start(sort)

    async def scenario() -> tuple[Counter, int]:
        ended: Counter[str] = Counter()
        stop = asyncio.Event()
        mounted = Tls.from_directory(tmp_path / "mounted", mutual=True)
        async with channel(f"127.0.0.1:{port}", certificate=mounted, authority="localhost", timeout=20) as client:
            who = client.unary_unary("/test.Echo/unary_unary")
            assert await who(b"who", wait_for_ready=True) == b"client.example.com"

            async def load() -> None:
                while not stop.is_set():
                    try:
                        ended[(await who(b"who")).decode()] += 1
                    except grpc.aio.AioRpcError as error:
                        ended[f"{error.code().name}: {error.details()}"] += 1

            loads = [spawn(load(), name="load") for _ in range(4)]
            seen = {id(client.current())}
            for _ in range(3):
                old = client.current()
                for folder, name in (("tls", "localhost"), ("mounted", "client.example.com")):
                    fresh = certificates.write(name)
                    for file in ("tls.crt", "tls.key"):
                        (fresh / file).replace(tmp_path / folder / file)
                await until(lambda old=old: client.current() is not old, timeout=20)
                seen.add(id(client.current()))
            stop.set()
            await asyncio.gather(*loads)
            return ended, len(seen)

    ended, channels = loop_thread().run(scenario(), timeout=80)
    assert set(ended) == {"client.example.com"}, ended
    assert ended.total() > 100
    assert channels >= 2

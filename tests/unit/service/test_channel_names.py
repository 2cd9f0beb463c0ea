"""A channel to a headless Service: its name has an address for each pod, and they change with every rolling update."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.message
import dns.rrset
import grpc
import pytest
from echo_service import async_handlers
from polling import until

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.service import Server, following
from roadstead.service.addresses import Addresses, Name
from roadstead.service.channel import channel
from roadstead.service.following import FollowingChannel
from roadstead.service.interceptors import Stage
from roadstead.service.lifecycle import Drain

METHOD = "test.Echo/unary_unary"


class Names(asyncio.DatagramProtocol):
    """A DNS server on loopback; each name has the addresses that a test gives it, or does not exist."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, content: bytes, sender) -> None:
        query = dns.message.from_wire(content)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        reply = dns.message.make_response(query)
        self.asked[name] += 1
        found = self.addresses.get(name)
        if not found:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer = [dns.rrset.from_text(question.name, 5, "IN", "A", *found)]
        self._transport.sendto(reply.to_wire(), sender)

    async def lookup(self, host: str, _port: int) -> frozenset[str]:
        """Return what `Addresses` is told, by a query of its own."""
        address, port = self._transport.get_extra_info("sockname")
        reply = await dns.asyncquery.udp(dns.message.make_query(host, "A"), address, port=port)
        if not reply.answer:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return frozenset(str(record) for each in reply.answer for record in each)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[Names, str]]:
    """Yield the server and what goes before a name in a target that is looked up there."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    try:
        yield names, f"dns://127.0.0.1:{transport.get_extra_info('sockname')[1]}/"
    finally:
        transport.close()


class SayingWhere(Stage):
    """Tells callers the address that answers."""

    def __init__(self, address: str) -> None:
        self._address = address

    def admit(self, call) -> None:
        call.reply_metadata = (("served-by", self._address),)


async def pod(address: str, port: int = 0) -> Server:
    """Start a server as a pod has it, with an address of its own and the port of all."""
    stages = [SayingWhere(address)]
    server = Server(port=port, address=address, drain=Drain(lame_duck=0.2, grace=5.0), stages=stages)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", async_handlers()),))
    await server.start()
    return server


def test_an_idempotent_call_waits_for_a_name_that_does_not_exist_yet(loop_thread):
    async def scenario() -> tuple[bytes, str]:
        server = await pod("127.0.0.1")
        async with name_server() as (names, prefix):
            target = f"{prefix}pods.test:{server.port}"
            async with channel(target, idempotent=[METHOD], timeout=30) as patient, channel(target) as hasty:
                waiting = spawn(answer(patient), name="waiting")
                await until(lambda: names.asked["pods.test"])
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await answer(hasty)
                names.addresses["pods.test"] = ["127.0.0.1"]
                answered = await waiting
        await server.stop()
        return answered, refused.value.code().name

    assert loop_thread.run(scenario()) == (b"re:hello", "UNAVAILABLE")


async def answer(opened: grpc.aio.Channel) -> bytes:
    return await opened.unary_unary(f"/{METHOD}")(b"hello")


def test_calls_follow_the_pods_of_a_rolling_update(loop_thread):
    """Every pod is replaced within less time than grpc lets pass between two look-ups by itself (30 s)."""

    async def scenario() -> tuple[Counter[str], int]:
        ended: Counter[str] = Counter()
        old = [await pod("127.0.0.11")]
        port = old[0].port
        old.append(await pod("127.0.0.12", port))
        async with name_server() as (names, prefix):
            names.addresses["pods.test"] = ["127.0.0.11", "127.0.0.12"]
            async with channel(f"{prefix}pods.test:{port}", idempotent=[METHOD], timeout=10) as opened:

                async def load() -> None:
                    while True:
                        try:
                            ended[(await answer(opened)).decode()] += 1
                        except grpc.aio.AioRpcError as error:
                            ended[f"{error.code().name}: {error.details()}"] += 1

                loads = [spawn(load(), name="load") for _ in range(4)]
                new = []
                for number, leaving in enumerate(old):
                    before = ended.total()
                    await until(lambda before=before: ended.total() > before + 50)
                    new.append(await pod(f"127.0.0.{21 + number}", port))
                    names.addresses["pods.test"][number] = f"127.0.0.{21 + number}"
                    leaving.lifecycle.leave()
                    await leaving.wait()
                before = ended.total()
                await until(lambda: ended.total() > before + 50)
                await cancel_all(loads)
                asked = names.asked["pods.test"]
        for server in new:
            await server.stop()
        return ended, asked

    ended, asked = loop_thread.run(scenario(), timeout=60)
    assert set(ended) == {"re:hello"}
    assert asked < 60, "no more often than there is a reason for"


@asynccontextmanager
async def followed(names: Names, prefix: str, port: int) -> AsyncIterator[FollowingChannel]:
    """Yield a channel to `pods.test` that looks after new addresses twenty times as often as others."""

    def opened(_content) -> grpc.aio.Channel:
        return channel(f"{prefix}pods.test:{port}", options=[("grpc.use_local_subchannel_pool", 1)])

    addresses = Addresses(Name("pods.test", port), names.lookup, clock=lambda: time.monotonic() * 20)
    async with FollowingChannel(opened, addresses=addresses) as client:
        yield client


async def answering(client: grpc.aio.Channel, calls: int = 12) -> set[str]:
    """Return the addresses that calls go to."""
    seen = set()
    for _ in range(calls):
        call = client.unary_unary(f"/{METHOD}")(b"hello")
        await call
        seen.add((await call.initial_metadata())["served-by"])
    return seen


async def until_answering(client: grpc.aio.Channel, expected: set[str]) -> None:
    async with asyncio.timeout(20):
        while await answering(client) != expected:
            pass


def test_new_pods_get_calls_while_the_old_ones_live_on(loop_thread):
    """To grpc a name is settled as long as its connections hold: a Service that is scaled up would gain nothing."""

    async def scenario() -> None:
        pods = [await pod("127.0.0.31")]
        port = pods[0].port
        async with name_server() as (names, prefix):
            names.addresses["pods.test"] = ["127.0.0.31"]
            async with followed(names, prefix, port) as client:
                assert await answering(client) == {"127.0.0.31"}
                pods += [await pod("127.0.0.32", port), await pod("127.0.0.33", port)]
                names.addresses["pods.test"] += ["127.0.0.32", "127.0.0.33"]
                await until_answering(client, {"127.0.0.31", "127.0.0.32", "127.0.0.33"})
        for server in pods:
            await server.stop()

    loop_thread.run(scenario(), timeout=60)


def test_an_address_that_nobody_has_costs_no_call(loop_thread, monkeypatch):
    """The old connections are kept where a new channel gets none."""
    monkeypatch.setattr(following, "_PATIENCE", 0.3)

    async def scenario() -> None:
        server = await pod("127.0.0.41")
        async with name_server() as (names, prefix):
            names.addresses["pods.test"] = ["127.0.0.41"]
            async with followed(names, prefix, server.port) as client:
                assert await answering(client) == {"127.0.0.41"}
                names.addresses["pods.test"] = ["127.0.0.49"]
                opened, asked = client.current(), names.asked["pods.test"]
                while names.asked["pods.test"] < asked + 8:
                    assert await answering(client) == {"127.0.0.41"}
                assert client.current() is opened
        await server.stop()

    loop_thread.run(scenario(), timeout=60)

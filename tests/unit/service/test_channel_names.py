"""A channel to a headless Service: its name has an address for each pod, and they change with every rolling update."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.message
import dns.rrset
import grpc
import pytest
from echo_service import async_handlers
from polling import until

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.service import Server
from roadstead.service.channel import channel
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


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[Names, str]]:
    """Yield the server and what goes before a name in a target that is looked up there."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    try:
        yield names, f"dns://127.0.0.1:{transport.get_extra_info('sockname')[1]}/"
    finally:
        transport.close()


async def pod(address: str, port: int = 0) -> Server:
    """Start a server as a pod has it, with an address of its own and the port of all."""
    server = Server(port=port, address=address, drain=Drain(lame_duck=0.2, grace=5.0))
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

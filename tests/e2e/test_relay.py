"""Outside clients reach the cluster: the relay process, sockets lent by netd, real pods' network namespaces."""

import asyncio
import contextlib
import hashlib
import random
import socket
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest
from free_ports import free_port
from network_bed import as_both_users, in_child
from polling import until

from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import NetdClient, wait_ready
from roadstead.node.network.links import NetworkSettings
from roadstead.node.network.relay import fork_relay
from roadstead.node.network.relay_client import PortUnavailable, RelayClient
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable
from roadstead.node.policy.table import Isolation, Policy, PolicyTable, Rule

pytestmark = pytest.mark.e2e

POD, VIRTUAL, HOST = "10.244.0.2", "10.96.0.50", "127.1.77.1"


@contextlib.asynccontextmanager
async def _serving(netd: NetdClient, handler):
    await netd.create_sandbox("default/web", "web", POD, {})
    server = await asyncio.start_server(handler, sock=await netd.listen("default/web", POD, 8080))
    await netd.apply_services(
        ServiceTable((ServicePort(VIRTUAL, "TCP", 80, "default/web:http", (Endpoint(POD, 8080),)),))
    )
    try:
        yield
    finally:
        server.close()


def _with_relay(user: str, scenario):
    """Run `scenario(netd, relay)` beside a real netd and a real relay process."""

    def run():
        with tempfile.TemporaryDirectory(prefix="roadstead-relay-") as folder:
            control = fork_netd(NetworkSettings(), Path(folder))
            wait_ready(control)
            relay_control, loan = fork_relay()

            async def main():
                netd = NetdClient(control)
                relay = RelayClient(relay_control, loan, partial(netd.lend, "edge"))
                try:
                    return await scenario(netd, relay)
                finally:
                    await relay.aclose()
                    netd.close()

            return asyncio.run(main())

    return in_child(user, run)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        await reader.read(1)
    writer.close()


async def _exchange(port: int, payload: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(payload)
    writer.write_eof()
    received = await reader.read(-1)
    writer.close()
    return received


@as_both_users
def test_many_clients_get_their_own_bytes_back_after_a_half_close(user):
    async def scenario(netd, relay):
        async with _serving(netd, _echo):
            port = await relay.open(HOST, wanted, [(VIRTUAL, 80)])
            payloads = [random.Random(number).randbytes(1 + number * 9973) for number in range(120)]
            answers = await asyncio.gather(*(_exchange(port, payload) for payload in payloads))
            return port, [_digest(a) == _digest(p) for a, p in zip(answers, payloads, strict=True)]

    wanted = free_port(HOST)
    port, equal = _with_relay(user, scenario)
    assert port == wanted
    assert all(equal)


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


@as_both_users
def test_policies_see_outside_clients_as_the_edge(user):
    deny = PolicyTable(
        policies={"default/deny": Policy(ingress=())}, isolated={POD: Isolation(ingress=("default/deny",))}
    )
    edge = int.from_bytes(socket.inet_aton("100.64.0.2"), "big")
    allow_edge = PolicyTable(
        policies={"default/deny": Policy(ingress=(Rule("edge", blocks=((edge, edge),)),))},
        isolated={POD: Isolation(ingress=("default/deny",))},
    )

    async def scenario(netd, relay):
        async with _serving(netd, _echo):
            port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 80)])
            outcomes = []
            for table in (PolicyTable(), deny, allow_edge):
                await netd.apply_policies(table)
                try:
                    async with asyncio.timeout(0.5):
                        outcomes.append(await _exchange(port, b"hello"))
                except TimeoutError:
                    outcomes.append(b"silent")
            return outcomes

    assert _with_relay(user, scenario) == [b"hello", b"silent", b"hello"]


@as_both_users
def test_a_port_that_is_in_use_is_named_with_a_remedy(user):
    async def scenario(_, relay):
        with socket.create_server((HOST, wanted)):
            try:
                await relay.open(HOST, wanted, [(VIRTUAL, 80)])
            except PortUnavailable as error:
                message = str(error)
        return message, await relay.open(HOST, wanted, [(VIRTUAL, 80)])

    wanted = free_port(HOST)
    message, port = _with_relay(user, scenario)
    assert message.startswith(f"port {wanted} on 127.1.77.1 is in use by another program; stop that program (`ss")
    assert port == wanted


def test_an_ordinary_user_gets_the_fallback_of_a_privileged_port():
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 443:
        expected, remedy = 443, ""
    else:
        expected, remedy = 8443, "port 443 on 127.1.77.1 may not be bound by this user; use a port from 1024 up"

    async def scenario(_, relay):
        port = await relay.open(HOST, 443, [(VIRTUAL, 80)])
        try:
            await relay.open("127.1.77.2", 443, [(VIRTUAL, 80)], fallback=False)
        except PortUnavailable as error:
            return port, str(error)
        return port, ""

    port, message = _with_relay("ordinary", scenario)
    assert port == expected
    assert message.startswith(remedy.replace("77.1", "77.2"))


@as_both_users
def test_a_target_that_refuses_resets_the_client(user):
    async def scenario(_, relay):
        port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 81)])
        try:
            # The reset may come while the client still connects.
            reader, writer = await asyncio.open_connection(HOST, port)
            outcome = await reader.read(1)
        except ConnectionResetError:
            return "reset"
        writer.close()
        return outcome

    assert _with_relay(user, scenario) == "reset"


@as_both_users
def test_a_closed_listener_refuses_and_open_connections_go_on(user):
    async def scenario(netd, relay):
        async with _serving(netd, _echo):
            port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 80)])
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"before")
            received = await reader.readexactly(6)
            await relay.close_listener(HOST, port)
            writer.write(b"after")
            received += await reader.readexactly(5)
            writer.close()
            try:
                await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                return received, "refused"
            return received, "open"

    assert _with_relay(user, scenario) == (b"beforeafter", "refused")


def test_a_slow_reader_blocks_neither_the_relay_nor_its_neighbours():
    flood = 64 << 20

    async def handler(reader, writer):
        with contextlib.suppress(OSError):
            if await reader.read(1) == b"F":
                for _ in range(flood >> 16):
                    writer.write(bytes(1 << 16))
                    await writer.drain()
            else:
                writer.write(b"pong")
        writer.close()

    async def scenario(netd, relay):
        async with _serving(netd, handler):
            port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 80)])
            slow_reader, slow_writer = await asyncio.open_connection(HOST, port, limit=1 << 12)
            slow_writer.write(b"F")
            pongs = [await _exchange(port, b"P") for _ in range(50)]
            total = 0
            while chunk := await slow_reader.read(1 << 20):
                total += len(chunk)
            slow_writer.close()
            return pongs, total

    pongs, total = _with_relay("ordinary", scenario)
    assert pongs == [b"pong"] * 50
    assert total == flood


def test_the_relay_leaks_no_descriptor_and_ends_with_its_supervisor():
    async def scenario(netd, relay):
        async with _serving(netd, _echo):
            port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 80)])
            process = _relay_process(port)
            await _exchange(port, b"warm up")
            await until(lambda: _descriptors(process) > 40)
            before = _descriptors(process)
            for _ in range(3):
                await asyncio.gather(*(_exchange(port, b"x" * 1000) for _ in range(50)))
            await until(lambda: _descriptors(process) <= before + 16)
            await relay.aclose()
            await until(lambda: not Path(f"/proc/{process}").exists())
            return True

    assert _with_relay("ordinary", scenario)


def _relay_process(port: int) -> int:
    listening = {
        f"socket:[{fields[9]}]"
        for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[1].endswith(f":{port:04X}") and fields[3] == "0A"
    }
    return next(int(process.name) for process in Path("/proc").glob("[0-9]*") if _holds(process, listening))


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in wanted for link in (process / "fd").iterdir())
    except OSError:
        return False


def _descriptors(process: int) -> int:
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def test_a_burst_of_clients_does_not_wait_for_the_supervisor():
    """More clients than the relay has sockets in stock connect while the supervisor's loop stands still."""
    count = 200

    def greet(listener: socket.socket) -> None:
        listener.setblocking(True)
        for _ in range(count):
            listener.accept()[0].send(b"!")

    def meet(port: int) -> list[bytes]:
        clients = [socket.create_connection((HOST, port), timeout=5) for _ in range(count)]
        return [client.recv(1) for client in clients]

    async def scenario(netd, relay):
        await netd.create_sandbox("default/web", "web", POD, {})
        listener = await netd.listen("default/web", POD, 8080)
        await netd.apply_services(ServiceTable((ServicePort(VIRTUAL, "TCP", 80, "", (Endpoint(POD, 8080),)),)))
        port = await relay.open(HOST, free_port(HOST), [(VIRTUAL, 80)])
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        return meet(port)

    assert _with_relay("ordinary", scenario) == [b"!"] * count

"""How many connections a second come from the host into the cluster: `python bench/relay.py`.

    python bench/relay.py [--burst 500] [--rounds 5] [--user ordinary|root]

A burst of clients connects at once through the relay to a server in a pod and each waits for its first byte; with the
supervisor's loop idle, and with one that is busy for 20 ms at a time. Medians.
"""

import argparse
import asyncio
import os
import select
import socket
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from network_bed import in_child

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import NetdClient, wait_ready
from roadstead.node.network.links import NetworkSettings
from roadstead.node.network.relay import fork_relay
from roadstead.node.network.relay_client import RelayClient
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable

POD, VIRTUAL, HOST, PORT = "10.244.0.2", "10.96.0.50", "127.1.77.9", 18180


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--burst", type=int, default=500, help="clients that connect at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--user", choices=("ordinary", "root"), default="ordinary")
    wanted = parser.parse_args()
    for busy in (False, True):
        seconds = in_child(wanted.user, lambda busy=busy: _run(wanted.burst, wanted.rounds, busy=busy))
        rate = wanted.burst / statistics.median(seconds)
        print(f"supervisor {'busy' if busy else 'idle'}: {rate:8.0f} connections/s", flush=True)


def _run(burst: int, rounds: int, *, busy: bool) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="roadstead-relay-") as folder:
        control = fork_netd(NetworkSettings(), Path(folder))
        wait_ready(control)
        relay_control, loan = fork_relay()
        return asyncio.run(_measure(control, relay_control, loan, (burst, rounds), busy=busy))


async def _measure(
    control: socket.socket,
    relay_control: socket.socket,
    loan: socket.socket | None,
    size: tuple[int, int],
    *,
    busy: bool,
) -> list[float]:
    netd = NetdClient(control)
    relay = RelayClient(relay_control, loan, partial(netd.lend, "edge"))
    await netd.create_sandbox("default/web", "web", POD, {})
    server = _fork(_greet, await netd.listen("default/web", POD, 8080))
    await netd.apply_services(
        ServiceTable((ServicePort(VIRTUAL, "TCP", 80, "default/web:http", (Endpoint(POD, 8080),)),))
    )
    await relay.open(HOST, PORT, [(VIRTUAL, 80)])
    reader, writer = os.pipe()
    client = _fork(_connect, size, writer)
    os.close(writer)
    work = [spawn(_be_busy(), name="work")] if busy else []
    answer = await asyncio.to_thread(lambda: os.fdopen(reader).read())
    await cancel_all(work)
    os.kill(server, 9)
    for process in (server, client):
        os.waitpid(process, 0)  # noqa: ASYNC222 (both have ended)
    await relay.aclose()
    netd.close()
    return [float(word) for word in answer.split()]


def _fork(work: object, *arguments: object) -> int:
    process = os.fork()
    if process == 0:
        work(*arguments)  # type: ignore[operator]  # one of the functions below
        os._exit(0)
    return process


def _greet(listener: socket.socket) -> None:
    listener.setblocking(True)
    while True:
        client, _ = listener.accept()
        client.send(b"!")
        client.close()


def _connect(size: tuple[int, int], result: int) -> None:
    burst, rounds = size
    _burst(burst)
    os.write(result, "\n".join(str(_burst(burst)) for _ in range(rounds)).encode())


def _burst(count: int) -> float:
    started, waiting, poll = time.monotonic(), {}, select.poll()
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex((HOST, PORT))
        waiting[client.fileno()] = client
        poll.register(client, select.POLLIN)
    while waiting:
        for descriptor, _ in poll.poll():
            poll.unregister(descriptor)
            if waiting.pop(descriptor).recv(1) != b"!":
                raise AssertionError("a connection was not relayed")
    return time.monotonic() - started


async def _be_busy() -> None:
    while True:
        time.sleep(0.02)  # noqa: ASYNC251 (what a supervisor does while it makes plans and writes objects)
        await asyncio.sleep(0)


if __name__ == "__main__":
    main()

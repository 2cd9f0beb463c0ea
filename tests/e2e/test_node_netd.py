"""netd itself: nothing that it is told ends it, nothing leaks, and pods start side by side."""

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest
from network_bed import as_both_users, in_child

from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import NetdClient, NetdError, NetdUnavailable, wait_ready
from roadstead.node.netd_protocol import Execute, StartContainer
from roadstead.node.network.links import NetworkSettings

pytestmark = pytest.mark.e2e


def with_netd(user, scenario):
    """Run a scenario with a netd of its own and return its result."""

    def run():
        folder = Path(tempfile.mkdtemp(prefix="roadstead-netd-"))
        control = fork_netd(NetworkSettings(), folder)
        wait_ready(control)
        return asyncio.run(scenario(control))

    return in_child(user, run)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def start(netd: NetdClient, key: str, *argv: str):
    """Start a process and return it with what it wrote, once it has ended."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    request = StartContainer(0, key, list(argv), {"PATH": "/usr/bin:/bin"})
    process = await netd.start_container(request, [null, writer, os.dup(writer)])
    with os.fdopen(reader, "rb") as pipe:
        return process, await asyncio.to_thread(pipe.read)


@as_both_users
def test_nothing_that_it_is_told_ends_it(user):
    async def scenario(control: socket.socket):
        for body in (b"", b"\xc1", b"nonsense", msgspec.msgpack.encode({"type": "Listen", "id": 5, "port": "x"})):
            control.sendall(len(body).to_bytes(4) + b"\0" + body)
        netd = NetdClient(control)
        refused = []
        for request in (
            netd.create_sandbox("a", "a", "not an address", {}),
            netd.create_sandbox("b", "x" * 300, "10.244.0.2", {}),
            start(netd, "nobody", "true"),
            netd.execute(Execute(0, 4711, ["true"], {}), []),
            netd.listen("node", "10.9.9.9", 80),
            netd.open_socket("nobody"),
        ):
            try:
                await request
            except NetdError as error:
                refused.append(str(error))
        await netd.signal(4711, 15)
        await netd.remove_sandbox("nobody")
        await netd.create_sandbox("b", "b", "10.244.0.2", {})
        _, output = await start(netd, "b", "echo", "alive")
        return refused, output

    refused, output = with_netd(user, scenario)
    assert len(refused) == 6
    assert refused[2:4] == ["nobody does not exist", "the container is not running"]
    assert output == b"alive\n"


@as_both_users
def test_pods_start_side_by_side_and_leave_no_descriptor(user):
    async def scenario(control: socket.socket):
        netd = NetdClient(control)
        before = open_descriptors()
        counts = []
        for _ in range(2):
            names = [f"pod-{number}" for number in range(8)]
            await asyncio.gather(
                *(netd.create_sandbox(name, name, f"10.244.1.{i + 1}", {}) for i, name in enumerate(names))
            )
            started = await asyncio.gather(
                *(start(netd, name, "sh", "-c", "ls /proc/self/fd; hostname") for name in names)
            )
            for name, (process, output) in zip(names, started, strict=True):
                assert output.decode().split() == ["0", "1", "2", "3", name]  # 3 is the folder that ls reads
                assert (await process.ended).code == 0
            await asyncio.gather(*(netd.remove_sandbox(name) for name in names))
            counts.append(open_descriptors() - before)
        return counts

    assert with_netd(user, scenario) == [0, 0]


@as_both_users
def test_its_end_is_noticed_and_ends_every_process(user):
    async def scenario(control: socket.socket):
        netd = NetdClient(control)
        await netd.create_sandbox("a", "a", "10.244.0.2", {})
        null = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
        process = await netd.start_container(StartContainer(0, "a", ["sleep", "864111"], {"PATH": "/bin"}), null)
        os.kill(parent_of(["sleep", "864111"]), signal.SIGKILL)
        ended = await asyncio.wait_for(process.ended, 5)
        await asyncio.wait_for(netd.gone, 5)
        try:
            await netd.open_socket("node")
        except NetdUnavailable as error:
            return ended.code, str(error)
        return ended.code, ""

    code, message = with_netd(user, scenario)
    assert code == 137
    assert "every pod with it" in message


def parent_of(command: list[str]) -> int:
    """Return the parent of the process with this command line: netd, whose child it is."""
    own = str(os.getuid())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
            words = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        if words == command and status["Uid"].split()[0] == own:
            return int(status["PPid"])
    raise AssertionError("there is no such process")

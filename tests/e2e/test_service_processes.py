"""A server of several processes as a real program: its calls are spread, it leaves as one, and one may die."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from free_ports import free_port
from grpc_health.v1 import health_pb2, health_pb2_grpc
from polling import wait_until

pytestmark = pytest.mark.e2e

SORTS = ("async", "threads")
PROGRAM = """
import asyncio, os, sys, time
import grpc
from roadstead.service import Drain, Server, ThreadedServer, run
from roadstead.service.interceptors.metrics import Metrics, serve_metrics

sort, port, metrics_port, grace = sys.argv[1], *map(int, sys.argv[2:])

async def who(request, context):
    await asyncio.sleep(0.03)
    return str(os.getpid()).encode()

def who_in_a_thread(request, context):
    time.sleep(0.03)
    return str(os.getpid()).encode()

async def stay(request, context):
    yield b"here"
    await asyncio.Event().wait()

def stay_in_a_thread(request, context):
    yield b"here"
    while context.is_active():
        time.sleep(0.02)

if os.path.exists("broken"):
    raise SystemExit("the configuration is broken")
if metrics_port:
    serve_metrics(metrics_port)
kind, who, stay = (Server, who, stay) if sort == "async" else (ThreadedServer, who_in_a_thread, stay_in_a_thread)
server = kind(port=port, processes=3, stages=[Metrics()], drain=Drain(0.5, grace))
handlers = {"Who": grpc.unary_unary_rpc_method_handler(who), "Stay": grpc.unary_stream_rpc_method_handler(stay)}
server.add_registered_method_handlers("test.Pid", handlers)
run(server)
"""


class Program:
    """The program above, in a folder of its own."""

    def __init__(
        self, folder: Path, sort: str, port: int, metrics_port: int, within: tuple[str, ...], grace: int
    ) -> None:
        self.port, self.metrics_port = port, metrics_port
        arguments = (sort, str(port), str(metrics_port), str(grace))
        self.process = subprocess.Popen(
            [*within, sys.executable, "-c", PROGRAM, *arguments],
            cwd=folder, env={**os.environ, "POD_IP": "127.0.0.1", "TMPDIR": str(folder)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self.process.stdout as stream:
            for line in stream:
                self._said.append(line.decode())

    @property
    def said(self) -> str:
        return "".join(self._said)

    def call(self, channel: grpc.Channel) -> int:
        return int(channel.unary_unary("/test.Pid/Who")(b"", timeout=10, wait_for_ready=True))

    @contextmanager
    def connection(self):
        """A connection of its own: the kernel gives each to some process."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options) as channel:
            yield channel

    def pids(self, count: int) -> set[int]:
        """Connect until so many processes have answered."""
        seen, deadline = set(), time.monotonic() + 20
        while len(seen) < count:
            assert time.monotonic() < deadline, (seen, self.said)
            with self.connection() as channel:
                seen.add(self.call(channel))
        return seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def start(tmp_path):
    started = []

    def start(
        sort: str = "async", *, port: int = 0, metrics: bool = False, within: tuple[str, ...] = (), grace: int = 10
    ) -> Program:
        started.append(Program(tmp_path, sort, port or free_port(), free_port() if metrics else 0, within, grace))
        return started[-1]

    yield start
    for program in started:
        program.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_connections_are_spread_over_processes_and_the_parent_serves_none(start):
    program = start()
    pids = program.pids(3)
    assert program.process.pid not in pids
    with program.connection() as channel:
        assert len({program.call(channel) for _ in range(5)}) == 1, "a connection stays where it is"


@pytest.mark.parametrize("sort", SORTS)
def test_sigterm_under_load_loses_no_call_old_or_new(start, sort):
    program = start(sort)
    pids = program.pids(3)
    ended: Counter[str] = Counter()
    with program.connection() as one, program.connection() as two:
        for channel in (one, two):
            program.call(channel)
        leaving = time.monotonic()
        program.process.terminate()
        # Within the lame duck phase connections, old and new, are served.
        while time.monotonic() - leaving < 0.35:
            for channel in (one, two):
                ended[outcome(program, channel)] += 1
            with program.connection() as fresh:
                ended[outcome(program, fresh)] += 1
        # Calls that have begun when the listeners close are finished.
        running = [one.unary_unary("/test.Pid/Who").future(b"", timeout=10) for _ in range(20)]
        ended.update("OK" if call.exception() is None else str(call.exception()) for call in running)
    assert program.process.wait(20) == 0
    assert set(ended) == {"OK"}, ended
    assert not any(map(is_running, pids))


@pytest.mark.parametrize("sort", SORTS)
def test_a_second_signal_cuts_the_grace_of_all_short(start, sort):
    program = start(sort, grace=600)
    pids = program.pids(3)
    with program.connection() as channel:
        staying = channel.unary_stream("/test.Pid/Stay")(b"")
        assert next(staying) == b"here"
        program.process.terminate()
        wait_until(lambda: not listens(program.port))
        assert staying.is_active(), "the grace period lets calls finish"
        program.process.terminate()
        assert program.process.wait(20) == 0
        assert staying.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
    assert not any(map(is_running, pids))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def outcome(program: Program, channel: grpc.Channel) -> str:
    try:
        program.call(channel)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


@pytest.mark.parametrize("sort", SORTS)
def test_a_killed_process_is_replaced_while_the_others_answer(start, sort):
    program = start(sort)
    first = program.pids(3)
    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    health: Counter[int] = Counter()
    for _ in range(20):
        with program.connection() as channel:
            request = health_pb2.HealthCheckRequest()
            health[health_pb2_grpc.HealthStub(channel).Check(request, timeout=10, wait_for_ready=True).status] += 1
    assert health == {1: 20}
    second = program.pids(3)
    assert len(second - first) == 1
    assert killed not in second
    assert "a process ended and is replaced" in program.said


def test_no_process_stays_when_the_parent_is_killed(start):
    program = start()
    pids = program.pids(3)
    program.process.kill()
    program.process.wait(10)
    wait_until(lambda: not any(map(is_running, pids)))


def test_what_no_process_survives_ends_the_program(start, tmp_path):
    program = start()
    pids = program.pids(3)
    (tmp_path / "broken").touch()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert program.process.wait(20) == 1
    wait_until(lambda: "giving up" in program.said)


def test_a_port_that_is_taken_is_an_error(start):
    first = start()
    first.pids(1)
    second = start(port=first.port)
    assert second.process.wait(20) == 1
    wait_until(lambda: f"cannot listen on port {first.port} of 127.0.0.1: Address already in use" in second.said)


def test_interrupting_the_whole_group_is_a_graceful_end(start):
    program = start()
    pids = program.pids(3)
    for pid in (program.process.pid, *pids):
        os.kill(pid, signal.SIGINT)  # as a terminal does
    with program.connection() as channel:
        assert program.call(channel) in pids, "the lame duck phase was skipped"
    assert program.process.wait(20) == 0


ISOLATED = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(
    subprocess.run([*ISOLATED, "true"], check=False, capture_output=True).returncode != 0,
    reason="no PID namespaces here",
)
def test_as_a_containers_first_process_it_takes_leave_of_orphans_and_leaves_when_told(start):
    program = start(within=ISOLATED)
    with program.connection() as channel:
        program.call(channel)
    (first,) = children(program.process.pid)
    wait_until(lambda: len(children(first)) == 3)
    # Somebody's process in the container leaves one behind, which ends soon after.
    orphaning = ["nsenter", "-t", str(first), "-U", "--preserve-credentials", "-p", "sh", "-c", "sleep 2 & exit 0"]
    subprocess.run(orphaning, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(children(first)) == 4)
    wait_until(lambda: len(children(first)) == 3)
    os.kill(first, signal.SIGTERM)
    assert program.process.wait(20) == 0


def test_the_parent_serves_the_metrics_of_all(start):
    program = start(metrics=True)
    program.pids(3)
    with program.connection() as channel:
        os.kill(program.call(channel), signal.SIGKILL)
    counted = handled(program)
    assert counted >= 4
    wait_until(lambda: program.said.count("serving") >= 4)
    program.pids(3)
    assert handled(program) >= counted + 3, "counters must not go back when a process is replaced"


def handled(program: Program) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{program.metrics_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("grpc_server_handled_total{"))

"""Envoys are restarted, upgraded and scaled down while clients call: no call fails, no stream breaks."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from e2e import small_system as small
from e2e.commands import Commands, eventually
from polling import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
NAME = "drain-test"
ENVOY = "gateway-roadstead"
STREAM_SECONDS = 2
SERVER = """
import asyncio, os, grpc
async def unary(request, context):
    return b"foo"
async def stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number
        await asyncio.sleep(0.1)
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method.endswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)
async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(os.environ["POD_IP"] + ":8080")
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    done = commands.run("roadstead", "down", "--name", NAME)
    assert done.returncode == 0, done.stderr


def start(commands: Commands, folder: Path, isolation: str) -> str:
    """Bring a gRPC service up behind a Gateway and return where clients find it."""
    gateway = small.gateway()
    gateway["spec"]["infrastructure"] = {"parametersRef": {"group": "", "kind": "ConfigMap", "name": "envoys"}}
    envoys = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "envoys", "namespace": "default"},
        "data": {"replicas": "1"},
    }  # fmt: skip
    objects = [small.deployment(), small.service(), small.gateway_class(), gateway, envoys, grpc_route()]
    small.write(folder, objects)
    (folder / "server.py").write_text(SERVER)
    (folder / "roadstead.toml").write_text(small.PROJECT.replace('"-I", "-S", ', ""))
    arguments = ("up", str(folder), "--name", NAME, "--detach", "--output", "json", "--isolation", isolation)
    report = json.loads(commands.roadstead(*arguments))
    (commands.home / "kubeconfig").symlink_to(report["kubeconfig"])
    [entry] = report["entries"]
    return f"{entry['address']}:{entry['port']}"


def grpc_route() -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
        "metadata": {"name": "echo", "namespace": "default"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": [{"name": "echo", "port": 80}]}]},
    }  # fmt: skip


class Clients:
    """Clients of every sort that keep their channels: some call all the time, one now and then, some by streams."""

    def __init__(self, target: str) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self._target, self._stopping = target, False

    async def __aenter__(self) -> "Clients":
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._repeat("unary", self._unary, 0.002)) for _ in range(3)]
        self._tasks.append(loop.create_task(self._repeat("rare", self._unary, 1.5)))
        self._tasks += [loop.create_task(self._repeat("stream", self._stream, 0)) for _ in range(2)]
        await self.more()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self) -> None:
        """Wait until every sort of client has had another answer, so that all know where they now are."""
        before = self.done.copy()
        async with asyncio.timeout(20):
            while any(self.done[sort] <= before[sort] for sort in ("unary", "rare", "stream")):
                assert not self.failures
                await asyncio.sleep(0.05)

    async def _repeat(self, sort: str, call: Callable[[grpc.aio.Channel], Awaitable[None]], pause: float) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "echo.example.com")]
        async with grpc.aio.insecure_channel(self._target, options) as channel:
            while not self._stopping:
                try:
                    await call(channel)
                    self.done[sort] += 1
                except grpc.aio.AioRpcError as error:
                    self.failures.append(f"{sort}: {error.code().name}: {error.details()}")
                await asyncio.sleep(pause)

    async def _unary(self, channel: grpc.aio.Channel) -> None:
        await channel.unary_unary("/echo.Echo/Unary")(b"", timeout=10)

    async def _stream(self, channel: grpc.aio.Channel) -> None:
        wanted = STREAM_SECONDS * 10
        got = [each async for each in channel.unary_stream("/echo.Echo/Stream")(b"%d" % wanted, timeout=30)]
        assert len(got) == wanted


def change(commands: Commands, *what: str) -> None:
    """Change something, and wait until there are other Envoys than before, as many as there shall be."""
    before = envoys(commands)
    commands.kubectl(*what)
    eventually(
        lambda: (envoys(commands), commands.get("deployment", ENVOY)["spec"]["replicas"]),
        lambda seen: seen[0] != before and len(seen[0]) == seen[1],
        40,
    )


def envoys(commands: Commands) -> list[str]:
    pods = commands.get("pods", "-l", "gateway.networking.k8s.io/gateway-name=gateway")["items"]
    return sorted(each["metadata"]["name"] for each in pods)


def replicas(number: str) -> tuple[str, ...]:
    return "patch", "configmap", "envoys", "--type=merge", "--patch", json.dumps({"data": {"replicas": number}})


CHANGES: dict[str, list[tuple[str, ...]]] = {
    "namespaces": [
        replicas("2"),
        replicas("1"),
        ("set", "image", f"deployment/{ENVOY}", "envoy=roadstead.dev/envoy:next"),
    ],
    "none": [("rollout", "restart", f"deployment/{ENVOY}")],
}


@pytest.mark.parametrize("isolation", CHANGES)
def test_envoys_come_and_go_and_no_call_fails(commands: Commands, tmp_path: Path, isolation: str) -> None:
    target = start(commands, tmp_path / "project", isolation)

    async def test() -> None:
        async with Clients(target) as clients:
            for what in CHANGES[isolation]:
                await asyncio.to_thread(change, commands, *what)
                await clients.more()
        assert clients.failures == []

    asyncio.run(test())


def test_an_envoy_that_dies_is_back_by_itself(commands: Commands, tmp_path: Path) -> None:
    target = start(commands, tmp_path / "project", "auto")
    options = [("grpc.default_authority", "echo.example.com")]
    with grpc.insecure_channel(target, [*options, ("grpc.initial_reconnect_backoff_ms", 50)]) as channel:
        call = channel.unary_unary("/echo.Echo/Unary")
        assert call(b"", timeout=10) == b"foo"
        [pod] = envoys(commands)
        os.kill(process_of(pod), signal.SIGKILL)
        died = time.monotonic()
        while answer(call) != b"foo" or time.monotonic() - died < 0.1:
            assert time.monotonic() - died < PATIENCE


def test_parameters_that_mean_nothing_are_told_and_change_nothing(commands: Commands, tmp_path: Path) -> None:
    target = start(commands, tmp_path / "project", "auto")
    before = envoys(commands)
    commands.kubectl(*replicas("many"))
    reason = "jsonpath={.status.conditions[?(@.type=='Accepted')].reason}"
    eventually(
        lambda: commands.kubectl("get", "gateway", "gateway", "-o", reason), lambda told: told == "InvalidParameters"
    )
    assert envoys(commands) == before
    with grpc.insecure_channel(target, [("grpc.default_authority", "echo.example.com")]) as channel:
        assert channel.unary_unary("/echo.Echo/Unary")(b"", timeout=10) == b"foo"


def answer(call: grpc.UnaryUnaryMultiCallable) -> bytes | None:
    try:
        answered: bytes = call(b"", timeout=1)
    except grpc.RpcError:
        time.sleep(0.01)
        return None
    return answered


def process_of(pod: str) -> int:
    """Return the Envoy of a pod, as this machine numbers it."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if pod.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                return int(process.name)
    raise AssertionError(f"no process of {pod}")

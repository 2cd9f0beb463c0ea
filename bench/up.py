"""How long a system takes to come up, and what the control plane weighs: `python bench/up.py`.

Three figures, each from a cluster made from nothing, with the environment already made:
- `up` of examples/user-platform: from the command's start to the API's first answer, to the first successful Login
  through TLS at the Gateway, and to everything ready;
- one pod: from the API's reply to its creation to its first instruction;
- memory of the control plane at rest (proportional set size of supervisor, netd and relay).
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from roadstead.api.resources import resource
from roadstead.client import ApiClient, Informer
from roadstead.cluster.layout import Layout, running_supervisor
from roadstead.lib.tasks import cancel_all, spawn

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "user-platform"
NAME = "bench"
HOST = "foo.example.com"
LOGIN = b"\n\x05alice\x12\nwonderland"  # LoginRequest(username="alice", password="wonderland")


@contextmanager
def cluster_from_nothing() -> Iterator[Layout]:
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as home:
        os.environ["ROADSTEAD_HOME"] = home
        try:
            yield Layout.of(NAME)
        finally:
            subprocess.run([Path(sys.executable).parent / "roadstead", "down", "--name", NAME], capture_output=True)


def start_up(*arguments: str) -> subprocess.Popen[bytes]:
    command = [Path(sys.executable).parent / "roadstead", "up", *arguments, "--name", NAME, "--detach"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_up() -> dict[str, float]:
    with cluster_from_nothing() as layout:
        begun = time.monotonic()
        seen: dict[str, float] = {}
        watcher = threading.Thread(target=asyncio.run, args=(watch_for_login(layout, begun, seen),))
        command = start_up(str(EXAMPLE))
        watcher.start()
        command.wait()
        seen["everything ready"] = time.monotonic() - begun
        watcher.join()
        return seen


async def watch_for_login(layout: Layout, begun: float, seen: dict[str, float]) -> None:
    while not layout.kubeconfig.exists():
        await asyncio.sleep(0.002)
    seen["API answers"] = time.monotonic() - begun
    async with ApiClient.from_kubeconfig(layout.kubeconfig, user_agent="bench") as client:
        address = await gateway_address(client)
    trusted = grpc.ssl_channel_credentials((EXAMPLE / "certs" / "ca.crt").read_bytes())
    deadline = begun + 60
    while time.monotonic() < deadline:
        if await login(address, trusted):
            seen["first RPC through TLS"] = time.monotonic() - begun
            return
    raise TimeoutError("no Login succeeded within 60 s")


async def gateway_address(client: ApiClient) -> str:
    informer, found = Informer(client, resource("Service"), namespace="user-platform"), asyncio.Event()
    addresses: list[str] = []

    def look(_key: object, _old: object, new: dict | None) -> None:  # type: ignore[type-arg]  # an object, or gone
        points = (((new or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        moved = ((new or {}).get("metadata") or {}).get("annotations", {}).get("roadstead.dev/host-ports", "")
        ports = dict(pair.split("=") for pair in moved.split(",") if pair)
        if points:
            addresses.append(f"{points[0]['ip']}:{ports.get('443', '443')}")
            found.set()

    informer.on_change(look)
    task = spawn(informer.run(), name="services")
    await found.wait()
    await cancel_all([task])
    return addresses[0]


async def login(address: str, trusted: grpc.ChannelCredentials) -> bool:
    options = [("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST)]
    async with grpc.aio.secure_channel(address, trusted, options) as channel:
        call = channel.unary_unary("/com.example.User/Login")
        try:
            await call(LOGIN, timeout=2)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.005)
            return False
        return True


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "roadstead.dev/tools", "command": ["date", "+%s%N"]}],
    },
}
NOTHING = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nothing}\n"


def measure_pods(count: int) -> tuple[list[float], dict[str, float]]:
    with cluster_from_nothing() as layout:
        manifest = layout.root.parent.parent / "nothing.yaml"
        manifest.write_text(NOTHING)
        start_up(str(manifest)).wait()
        time.sleep(2)  # at rest: what the start left to do is done
        weights = weigh(layout)
        return asyncio.run(create_pods(layout, count)), weights


async def create_pods(layout: Layout, count: int) -> list[float]:
    delays = []
    async with ApiClient.from_kubeconfig(layout.kubeconfig, user_agent="bench") as client:
        for number in range(count):
            metadata = {"name": f"pod-{number}", "namespace": "default"}
            await client.create(resource("Pod"), {**POD, "metadata": metadata})
            accepted = time.time_ns()
            while (await client.get(resource("Pod"), metadata["name"], "default"))["status"]["phase"] != "Succeeded":
                await asyncio.sleep(0.02)
            [log] = layout.pods.glob(f"{await uid(client, metadata['name'])}/logs/main/*.log")
            first_instruction = int(log.read_text().split()[-1])
            delays.append((first_instruction - accepted) / 1e6)
    return delays


async def uid(client: ApiClient, name: str) -> str:
    return str((await client.get(resource("Pod"), name, "default"))["metadata"]["uid"])


def weigh(layout: Layout) -> dict[str, float]:
    """Return MiB by process: the supervisor and what it forked (they carry its command line)."""
    supervisor = running_supervisor(layout)
    marker = str(layout.root).encode()
    weights = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (folder / "cmdline").read_bytes():
                rollup = (folder / "smaps_rollup").read_text()
                name = "supervisor" if int(folder.name) == supervisor else f"its child {folder.name}"
                weights[name] = int(rollup.split("Pss:")[1].split()[0]) / 1024
        except OSError:
            continue
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that the example is brought up")
    parser.add_argument("--pods", type=int, default=30, help="pods that are started one after the other")
    options = parser.parse_args()
    rounds = [measure_up() for _ in range(options.rounds)]
    print(f"up of examples/user-platform, {options.rounds} rounds, seconds: median (min to max)")
    for figure in ("API answers", "first RPC through TLS", "everything ready"):
        values = [each[figure] for each in rounds]
        print(f"  {figure:<24}{statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})")
    delays, weights = measure_pods(options.pods)
    print(f"one pod, from the API's reply to its first instruction, {len(delays)} pods, milliseconds:")
    print(f"  p50 {statistics.median(delays):.1f}  max {max(delays):.1f}")
    print("control plane at rest, MiB (proportional set size):")
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        print(f"  {name:<24}{weight:6.1f}")
    print(f"  {'in all':<24}{sum(weights.values()):6.1f}")


if __name__ == "__main__":
    main()

"""How long a pod takes to start: to its first instruction, and what part of it is what.

    python bench/pod_start.py [--pods 30]

Two figures. "runtime": from the command to the runtime (network, mounts, process and user namespaces, exec) to the
first byte that the program writes; there is no API server. "API": from sending the Pod to the API server to that byte,
with the API server, its store in memory, and the node in one process, as in a cluster of ours. Run it as root and as
an ordinary user.
"""

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from roadstead.api.resources import resource
from roadstead.apiserver.access.rbac import MASTERS
from roadstead.apiserver.calls import User
from roadstead.apiserver.server import ApiServer, ApiServerConfig
from roadstead.client import ApiClient, Credentials
from roadstead.lib.pki import CertificateAuthority
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node import Node, NodeConfig
from roadstead.node.container_logs import ContainerLog
from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import wait_ready
from roadstead.node.netd_protocol import StartContainer
from roadstead.node.network.links import NetworkSettings
from roadstead.node.project import Image, Project

DEADLINE = 20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=30)
    pods = parser.parse_args().pods
    folder = Path(tempfile.mkdtemp(prefix="roadstead-bench-"))
    try:
        began = time.perf_counter()
        control = fork_netd(NetworkSettings(), folder)
        limitations = tuple(wait_ready(control))
        ready = time.perf_counter() - began
        user = "root" if os.getuid() == 0 else f"ordinary user {os.getuid()}"
        print(f"as {user}; the node itself (namespaces, network, base rules): {ready * 1e3:.1f} ms")
        asyncio.run(measure(control, limitations, folder, pods))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def measure(control: socket.socket, limitations: tuple[str, ...], folder: Path, pods: int) -> None:
    """Run both measurements on one node."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.load_or_create(folder / "ca.crt", folder / "ca.key", "bench", now)
    authority.issue("api", now, hosts=["127.0.0.1"]).write(folder / "api.crt", folder / "api.key")
    listening = socket.create_server(("127.0.0.1", 0))
    config = ApiServerConfig(
        None, folder / "api.crt", folder / "api.key", folder / "ca.crt", {"bench": User("bench", (MASTERS,))}
    )
    credentials = Credentials(ca_pem=(folder / "ca.crt").read_bytes(), token="bench")
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    project = Project(images={"echo": Image("echo", ("/bin/echo", "started"), Path("/"))})
    async with ApiClient(url, credentials, user_agent="bench") as client:
        node = Node(client, NodeConfig("bench", folder / "pods", limitations=limitations, project=project), control)
        server = ApiServer(config, sockets=[listening], kubelet=node.kubelet)
        await server.start()
        running = spawn(node.run(), name="node")
        await until_ready(client)
        show("runtime", await runtime_only(node, folder, pods))
        show("API", await through_api(client, node, pods))
        await node.stop()
        await cancel_all([running])
        await server.stop()


async def until_ready(client: ApiClient) -> None:
    """Wait until the node has registered and its DNS runs."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if await client.list(resource("Pod"), "kube-system"):
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("the node did not become ready")


async def runtime_only(node: Node, folder: Path, pods: int) -> list[float]:
    """Start pods one after the other by commands to the runtime."""
    runtime = node.runtime
    files = {
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/resolv.conf": "nameserver 10.96.0.10\n",
        "/etc/hostname": "x\n",
    }
    taken = []
    for number in range(pods):
        key, log = f"bench/{number}", ContainerLog(folder / "logs" / f"{number}.log")
        began = time.perf_counter()
        await runtime.create_sandbox(key, f"bench-{number}", f"10.244.200.{number + 1}", files)
        await runtime.start_container(StartContainer(0, key, ["/bin/echo", "started"], {}), log)
        while not log.path.stat().st_size:
            await log.changed()
        taken.append(time.perf_counter() - began)
        await runtime.remove_sandbox(key)
    return taken


async def through_api(client: ApiClient, node: Node, pods: int) -> list[float]:
    """Start pods one after the other through the API."""
    taken = []
    for number in range(pods):
        name = f"bench-{number}"
        container = {"name": "main", "image": "echo"}
        spec = {"nodeName": "bench", "containers": [container], "automountServiceAccountToken": False}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}}
        began = time.perf_counter()
        await client.create(resource("Pod"), {**manifest, "spec": {**spec, "restartPolicy": "Never"}})
        while not started(node, name):
            await asyncio.sleep(0.0005)
        taken.append(time.perf_counter() - began)
        await client.delete(resource("Pod"), name, "default", grace_period_seconds=0)
    return taken


def started(node: Node, name: str) -> bool:
    """Say whether a pod's program has written its first byte."""
    worker = node.agent.worker_of("default", name)
    running = worker.running.get("main") if worker is not None else None
    return running is not None and running.log.path.stat().st_size > 0


def show(what: str, taken: Sequence[float]) -> None:
    """Print one line of figures."""
    ordered = sorted(one * 1e3 for one in taken)
    p90 = ordered[int(len(ordered) * 0.9)]
    middle = statistics.median(ordered)
    print(f"{what:8} p50 {middle:6.1f} ms   p90 {p90:6.1f} ms   max {ordered[-1]:6.1f} ms   ({len(ordered)} pods)")


if __name__ == "__main__":
    main()

"""A node with its API server for tests: in a forked child, as root or as an ordinary user, with pods of a scenario."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiserver_bed import prepare, serving
from network_bed import in_child
from polling import until

from roadstead.api.conditions import is_true
from roadstead.api.errors import BadRequest, NotFound
from roadstead.api.objects import Object
from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node import Node, NodeConfig
from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import wait_ready
from roadstead.node.network.links import NetworkSettings
from roadstead.node.project import Host, Image, Project

POD = resource("Pod")


@dataclass(frozen=True)
class NodeBed:
    """What a scenario works with."""

    client: ApiClient
    node: Node
    folder: Path
    kubeconfig: Path

    async def create(self, name: str, script: str = "", **spec: Any) -> Object:
        """Create a pod on the node, see `pod`."""
        return await self.client.create(POD, pod(name, script, **spec))

    async def pod(self, name: str) -> Object | None:
        try:
            return await self.client.get(POD, name, "default")
        except NotFound:
            return None

    async def when(self, name: str, holds: Callable[[Object], Any], timeout: float = 15.0) -> Object:
        """Return the pod once `holds` is true of it."""
        seen: list[Object | None] = [None]

        async def check() -> bool:
            seen[0] = await self.pod(name)
            return seen[0] is not None and bool(holds(seen[0]))

        try:
            await until(check, timeout=timeout, every=0.02)
        except TimeoutError:
            raise AssertionError(f"pod {name} is still {seen[0] and seen[0].get('status')}") from None
        assert seen[0] is not None
        return seen[0]

    async def ready(self, name: str) -> Object:
        return await self.when(name, is_ready)

    async def finished(self, name: str) -> str:
        """Return the log of a pod that has ended."""
        await self.when(name, lambda seen: seen["status"].get("phase") in ("Succeeded", "Failed"))
        return await self.log(name)

    async def gone(self, name: str, timeout: float = 10.0) -> None:
        async def absent() -> bool:
            return await self.pod(name) is None

        await until(absent, timeout=timeout)

    async def log(self, name: str, container: str = "main", **options: Any) -> str:
        """Return a container's log so far, `""` before its first start."""
        wanted = LogOptions(**options)
        try:
            chunks = [chunk async for chunk in self.node.kubelet.logs("default", name, container, wanted)]
        except (BadRequest, NotFound):
            return ""
        return b"".join(chunks).decode()

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of all events of an object."""
        await self.node._events.flush()
        found = await self.client.list(resource("Event", "v1"), field_selector=f"involvedObject.name={name}")
        return [(event["reason"], event["message"]) for event in found]

    async def run_in(self, name: str, script: str, container: str = "main") -> tuple[int, str]:
        """Execute a script in a running pod and return its exit code and output."""
        session = await self.node.kubelet.exec(
            "default", name, container, ["sh", "-c", script], stdin=False, stdout=True, stderr=True, tty=False
        )
        output = b""
        while (chunk := await session.read()) is not None:
            output += chunk[1]
        code = await session.wait()
        await session.close()
        return code, output.decode()


@dataclass(frozen=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str = ""
    timestamps: bool = False
    previous: bool = False
    limit_bytes: int | None = None


def is_ready(seen: Object) -> bool:
    return is_true((seen.get("status") or {}).get("conditions"), "Ready")


def pod(name: str, script: str = "", *, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """Return a Pod bound to the bed's node. Keywords go to its spec; without containers, `main` runs the script."""
    main = {"name": "main", "image": "shell", "args": [script], **spec.pop("main", {})}
    whole = {"nodeName": "test-node", "automountServiceAccountToken": False, "containers": [main], **spec}
    metadata = {"name": name, "namespace": "default", "labels": dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def shell_project(folder: Path, hosts: Mapping[str, Host] | None = None) -> Project:
    """Return a project with the images `shell` (`sh -c ARGS`) and `python` (`python ARGS`)."""
    images = [
        Image("shell", ("sh", "-c"), Path("/")),
        Image("python", ("python",), folder, {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}),
    ]
    return Project(images={image.name: image for image in images}, hosts=hosts or {})


def in_node_cluster(
    user: str,
    scenario: Callable[[NodeBed], Awaitable[Any]],
    *,
    isolated: bool = True,
    hosts: Mapping[str, Host] | None = None,
    before: Callable[[ApiClient], Awaitable[Any]] | None = None,
) -> Any:
    """Run a scenario as this user, in a child with netd, API server and node of its own; return its result.

    `before` is called with the API server's client before the node runs.
    """
    return in_child(user, lambda: run_node_cluster(scenario, isolated=isolated, hosts=hosts, before=before))


def run_node_cluster(
    scenario: Callable[[NodeBed], Awaitable[Any]],
    *,
    isolated: bool = True,
    hosts: Mapping[str, Host] | None = None,
    before: Callable[[ApiClient], Awaitable[Any]] | None = None,
) -> Any:
    """Run a scenario in this process, as its user."""
    folder = Path(tempfile.mkdtemp(prefix="roadstead-node-"))
    try:
        control = fork_netd(NetworkSettings(), folder, isolated=isolated)
        limitations = tuple(wait_ready(control))
        return asyncio.run(_run(scenario, folder, control, limitations, isolated, hosts, before))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(scenario, folder, control, limitations, isolated, hosts, before) -> Any:
    site = prepare(folder / "api", durable=False)
    client = ApiClient.from_kubeconfig(site.kubeconfig, user_agent="test")
    config = NodeConfig(
        "test-node", folder / "pods",
        unenforced="" if isolated else "the test wants none",
        limitations=limitations,
        project=shell_project(folder, hosts),
        hidden=(folder,),
    )  # fmt: skip
    node = Node(client, config, control)
    async with client, serving(site, node.kubelet):
        if before is not None:
            await before(client)
        running = spawn(node.run(), name="node")
        try:
            return await scenario(NodeBed(client, node, folder, site.kubeconfig))
        finally:
            await node.stop()
            await cancel_all([running])

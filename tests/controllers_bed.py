"""An API server and all controllers on loopback, with a node that only says that its pods run."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from apiserver_bed import prepare, serving

from roadstead.api.errors import ApiError, Conflict, NotFound
from roadstead.api.objects import key_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient, Informer
from roadstead.controllers import ClusterFacts, run_controllers
from roadstead.lib.clock import now, rfc3339
from roadstead.lib.tasks import cancel_all, spawn

POD, NODE = resource("Pod"), resource("Node")


class SayingNode:
    """A node agent without containers: pods that are bound to it are ready at once, or when a test says."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.refused_images: set[str] = set()
        self.pods = Informer(client, POD)
        self._numbers = itertools.count(2)
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task] = set()

    async def register(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "test-node", "labels": {"disk": "fast"}}}
        node["status"] = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(now())}]}
        await self.client.create(NODE, node)

    async def run(self) -> None:
        self.pods.on_change(self._changed)
        try:
            await self.pods.run()
        finally:
            await cancel_all(self._tasks)

    def _changed(self, key, old, new) -> None:
        if new is None or not new["spec"].get("nodeName"):
            return
        ends, fresh = new["metadata"].get("deletionTimestamp"), not (new.get("status") or {}).get("podIP")
        if not ends and not fresh:
            return
        task = spawn(self._act(new, bool(ends)), name=f"pod {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, pod, ends: bool) -> None:
        namespace, name = key_of(pod)
        with contextlib.suppress(NotFound, Conflict):
            if ends:
                uid = pod["metadata"]["uid"]
                await self.client.delete(POD, name, namespace, grace_period_seconds=0, preconditions_uid=uid)
            else:
                await self.say_ready(pod, pod["spec"]["containers"][0]["image"] not in self.refused_images)

    async def say_ready(self, pod, ready: bool) -> None:
        namespace, name = key_of(pod)
        moment = rfc3339(now())
        container = {"name": pod["spec"]["containers"][0]["name"], "image": "x", "imageID": "x", "restartCount": 0}
        state = {"running": {"startedAt": moment}} if ready else {"waiting": {"reason": "ErrImagePull"}}
        conditions = [
            {"type": kind, "status": str(ready), "lastTransitionTime": moment} for kind in ("Ready", "ContainersReady")
        ]
        address = (pod.get("status") or {}).get("podIP") or f"10.244.0.{next(self._numbers)}"
        status = {
            "phase": "Running" if ready else "Pending",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
            "containerStatuses": [{**container, "ready": ready, "started": ready, "state": state}],
        }
        await self.client.patch(POD, name, namespace, {"status": status}, kind="strategic", subresource="status")


@dataclass
class Bed:
    client: ApiClient
    node: SayingNode
    kubeconfig: Path

    async def kubectl(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """Run the real kubectl and return what it says on both channels."""
        pipe = asyncio.subprocess.PIPE
        home = {"HOME": str(self.kubeconfig.parent), "PATH": "/usr/bin:/bin"}
        process = await asyncio.create_subprocess_exec(
            _kubectl(), "--kubeconfig", str(self.kubeconfig), *arguments,
            stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=home,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        assert process.returncode == code, said.decode()
        return said.decode()

    async def gone(self, kind: str, name: str, namespace: str = "default") -> bool:
        try:
            await self.client.get(resource(kind), name, namespace if resource(kind).namespaced else "")
        except NotFound:
            return True
        except ApiError:
            return False
        return False


def _kubectl() -> str:
    import sys

    return str(Path(sys.executable).parent / "kubectl")


@contextlib.asynccontextmanager
async def controllers(folder: Path, *, durable: bool = False) -> AsyncIterator[Bed]:
    site = prepare(folder, durable=durable)
    async with (
        serving(site),
        ApiClient.from_kubeconfig(site.kubeconfig, user_agent="controllers") as client,
        ApiClient.from_kubeconfig(site.kubeconfig, user_agent="node") as other,
    ):
        node = SayingNode(other)
        facts = ClusterFacts((folder / "ca.crt").read_text())
        tasks = [spawn(run_controllers(client, cluster=facts), name="controllers"), spawn(node.run(), name="node")]
        try:
            await node.register()
            yield Bed(other, node, site.kubeconfig)
        finally:
            await cancel_all(tasks)

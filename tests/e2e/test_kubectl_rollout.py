"""kubectl waits and deletes: scale, rollout, wait, finalizers, drain; the test plays the controllers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import Kubectl, configmap, deployment, pod, with_kubectl

pytestmark = pytest.mark.e2e


async def report(kubectl: Kubectl, ready: int, generation: int) -> None:
    """Write the status that a deployment controller would."""
    status: dict[str, Any] = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), ready)
    conditions = [{"type": "Available", "status": "True", "reason": "x", "message": "y"}]
    patch = {"status": {**status, "observedGeneration": generation, "conditions": conditions}}
    await kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", json.dumps(patch))


def test_rollout_status_and_wait_end_when_the_status_says_so(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web", replicas=2))
        waits = [
            await kubectl.start("rollout", "status", "deployment/web", "--timeout=60s"),
            await kubectl.start("wait", "--for=condition=Available", "deployment/web", "--timeout=60s"),
            await kubectl.start("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--timeout=60s"),
        ]
        assert waits[0].stdout is not None
        assert b"Waiting for deployment" in await waits[0].stdout.readline()
        await report(kubectl, 2, 1)
        outs = [(await process.communicate())[0].decode() for process in waits]
        assert [process.returncode for process in waits] == [0, 0, 0]
        assert 'deployment "web" successfully rolled out' in outs[0]
        assert outs[1] == "deployment.apps/web condition met\n"

    with_kubectl(tmp_path, conversation)


def test_a_wait_that_is_not_fulfilled_times_out(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        late = await kubectl.fails("wait", "--for=condition=Available", "deployment/web", "--timeout=1s")
        assert "timed out" in late

    with_kubectl(tmp_path, conversation)


def test_scale_restart_pause_history_and_undo(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        assert await kubectl("scale", "deployment", "web", "--replicas=3") == "deployment.apps/web scaled\n"
        assert "replicas" in await kubectl.fails("scale", "deploy", "web", "--replicas=1", "--current-replicas=9")
        for command in ("restart", "pause", "resume"):
            await kubectl("rollout", command, "deployment/web")
        assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "3"
        live = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
        for revision, image in ((1, "web:0"), (2, "web:1")):
            await kubectl("create", "-f", "-", stdin=json.dumps(replica_set(live, revision, image)))
        history = await kubectl("rollout", "history", "deployment/web")
        assert [row.split()[0] for row in history.splitlines()[2:4]] == ["1", "2"]
        await kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
        image = "jsonpath={.spec.template.spec.containers[0].image}"
        assert await kubectl("get", "deploy", "web", "-o", image) == "web:0"

    with_kubectl(tmp_path, conversation)


def replica_set(owner: dict[str, Any], revision: int, image: str) -> dict[str, Any]:
    labels = {"app": "web", "pod-template-hash": str(revision)}
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    metadata = {
        "name": f"web-{revision}",
        "labels": labels,
        "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        "ownerReferences": [reference],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def test_delete_waits_for_finalizers(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        held = configmap("held")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await kubectl.apply(held, configmap("free"))
        assert "deleted" in await kubectl("delete", "configmap", "free")
        deleting = await kubectl.start("delete", "configmap", "held")
        waiting = await kubectl.start("wait", "--for=delete", "configmap/held", "--timeout=60s")
        await kubectl("wait", "--for=jsonpath={.metadata.deletionTimestamp}", "configmap/held", "--timeout=60s")
        assert deleting.returncode is None
        await kubectl("patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        for process in (deleting, waiting):
            async with asyncio.timeout(20):
                await process.communicate()
            assert process.returncode == 0

    with_kubectl(tmp_path, conversation)


@pytest.mark.parametrize(
    ("cascade", "finalizers"), [("foreground", '["foregroundDeletion"]'), ("orphan", '["orphan"]')]
)
def test_cascading_deletion_is_handed_to_the_garbage_collector(tmp_path: Path, cascade: str, finalizers: str) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        await kubectl("delete", "deployment", "web", f"--cascade={cascade}", "--wait=false")
        assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.metadata.finalizers}") == finalizers

    with_kubectl(tmp_path, conversation)


def test_a_pod_is_deleted_when_its_node_confirms(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(pod("web", node="n1"))
        deleting = await kubectl.start("delete", "pod", "web")
        await kubectl("wait", "--for=jsonpath={.metadata.deletionGracePeriodSeconds}=30", "pod/web", "--timeout=60s")
        await kubectl("delete", "pod", "web", "--grace-period=0", "--force")
        async with asyncio.timeout(20):
            await deleting.communicate()
        assert deleting.returncode == 0

    with_kubectl(tmp_path, conversation)


def test_drain_cordons_and_evicts(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, pod("web", node="n1"))
        draining = await kubectl.start("drain", "n1", "--force", "--ignore-daemonsets", "--timeout=60s")
        await kubectl("wait", "--for=jsonpath={.metadata.deletionTimestamp}", "pod/web", "--timeout=60s")
        await kubectl("delete", "pod", "web", "--grace-period=0", "--force")
        async with asyncio.timeout(30):
            out, err = await draining.communicate()
        assert draining.returncode == 0, err
        assert b"node/n1 drained" in out
        assert "SchedulingDisabled" in await kubectl("get", "nodes")
        await kubectl("uncordon", "n1")
        assert "SchedulingDisabled" not in await kubectl("get", "nodes")

    with_kubectl(tmp_path, conversation)

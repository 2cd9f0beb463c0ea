"""The controllers of workloads other than Deployments against the real API server, driven by the real kubectl."""

import asyncio
import json
from datetime import timedelta

import pytest
from controllers_bed import controllers
from polling import until

from roadstead.api.resources import resource
from roadstead.lib.clock import now, rfc3339

pytestmark = pytest.mark.e2e

POD, JOB = resource("Pod"), resource("Job")


def play(tmp_path, conversation):
    async def run():
        async with controllers(tmp_path) as bed:
            await conversation(bed)

    asyncio.run(run())


def workload(kind, **spec):
    template = {
        "metadata": {"labels": {"app": "w"}},
        "spec": {"containers": [{"name": "main", "image": "w:1"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "w"}}, "template": template, **spec}
    return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w"}, "spec": spec})


async def images(bed):
    return {pod["spec"]["containers"][0]["image"] for pod in await bed.client.list(POD, "default")}


@pytest.mark.parametrize(("kind", "spec"), [("StatefulSet", {"replicas": 2, "serviceName": "w"}), ("DaemonSet", {})])
def test_a_rollout_and_its_undoing(tmp_path, kind, spec):
    async def conversation(bed):
        name = f"{kind.lower()}/w"
        await bed.kubectl("apply", "-f", "-", stdin=workload(kind, **spec))
        await bed.kubectl("rollout", "status", name, "--timeout=60s")
        await bed.kubectl("set", "image", name, "main=w:2")
        await bed.kubectl("rollout", "status", name, "--timeout=60s")
        assert await images(bed) == {"w:2"}
        history = await bed.kubectl("rollout", "history", name)
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
        await bed.kubectl("rollout", "undo", name)
        await bed.kubectl("rollout", "status", name, "--timeout=60s")
        assert await images(bed) == {"w:1"}
        await bed.kubectl("delete", name, "--timeout=60s")

        async def nothing_left():
            return not await bed.client.list(POD, "default") and not await bed.client.list(
                resource("ControllerRevision"), "default"
            )

        await until(nothing_left)

    play(tmp_path, conversation)


def test_a_job_runs_to_its_end(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "job", "work", "--image=w:1")

        async def has_pod():
            return await bed.client.list(POD, "default")

        await until(has_pod)
        (pod,) = await bed.client.list(POD, "default")
        terminated = {"exitCode": 0, "finishedAt": rfc3339(now()), "reason": "Completed"}
        container = {"name": "work", "image": "w:1", "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": terminated}}]}
        await until(lambda: bed.node.pods.objects and all(
            (entry.get("status") or {}).get("podIP") for entry in bed.node.pods.objects.values()
        ))  # fmt: skip
        await bed.client.patch(POD, pod["metadata"]["name"], "default", {"status": status}, subresource="status")
        await bed.kubectl("wait", "--for=condition=Complete", "job/work", "--timeout=60s")
        assert "1/1" in await bed.kubectl("get", "job", "work")

    play(tmp_path, conversation)


def test_a_cron_job_makes_up_for_what_it_missed_and_takes_its_jobs_along(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "cronjob", "tick", "--image=w:1", "--schedule=* * * * *")
        missed = json.dumps({"status": {"lastScheduleTime": rfc3339(now() - timedelta(minutes=5))}})
        await bed.kubectl("patch", "cronjob", "tick", "--subresource=status", "--type=merge", "-p", missed)

        async def ours():
            return await bed.client.list(JOB, "default")

        await until(ours)
        (job,) = await ours()
        assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith(":00Z")
        await bed.kubectl("wait", "--for=jsonpath={.status.active[0].name}", "cronjob/tick", "--timeout=60s")
        assert f"Created job {job['metadata']['name']}" in await bed.kubectl("describe", "cronjob", "tick")
        await bed.kubectl("delete", "cronjob", "tick")

        async def nothing_left():
            return not await ours() and not await bed.client.list(POD, "default")

        await until(nothing_left)

    play(tmp_path, conversation)


def test_a_replication_controller_scales_heals_and_leaves_its_pods_if_told_to(tmp_path):
    async def conversation(bed):
        template = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "main", "image": "w:1"}]}}
        made = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"}}
        await bed.kubectl(
            "create", "-f", "-", stdin=json.dumps({**made, "spec": {"replicas": 2, "template": template}})
        )

        async def ready(count):
            await bed.kubectl("wait", f"--for=jsonpath={{.status.readyReplicas}}={count}", "rc/old", "--timeout=60s")
            return {pod["metadata"]["name"] for pod in await bed.client.list(POD, "default")}

        first = await ready(2)
        await bed.kubectl("scale", "rc", "old", "--replicas=3")
        assert first < await ready(3)
        await bed.kubectl("delete", "pod", min(first), "--grace-period=0", "--force")
        await until(lambda: min(first) not in bed.node.pods.objects)
        assert min(first) not in await ready(3)
        assert [line.split()[:4] for line in (await bed.kubectl("get", "rc", "--no-headers")).splitlines()] == [
            ["old", "3", "3", "3"]
        ]
        assert "SuccessfulCreate" in await bed.kubectl("describe", "rc", "old")
        await bed.kubectl("delete", "rc", "old", "--cascade=orphan")
        left = await bed.client.list(POD, "default")
        assert [pod["metadata"].get("ownerReferences") for pod in left] == [None] * 3

    play(tmp_path, conversation)

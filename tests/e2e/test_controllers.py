"""Controllers against the real API server, driven by the real kubectl."""

import asyncio
import json

import pytest
from apiserver_bed import deployment, prepare, serving
from controllers_bed import controllers
from polling import until

from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.controllers import ClusterFacts, run_controllers
from roadstead.lib.tasks import cancel_all, spawn

pytestmark = pytest.mark.e2e

DEPLOYMENT, POD, REPLICA_SET = resource("Deployment"), resource("Pod"), resource("ReplicaSet")


def play(tmp_path, conversation):
    async def run():
        async with controllers(tmp_path) as bed:
            await conversation(bed)

    asyncio.run(run())


async def pods(bed, namespace="default"):
    return await bed.client.list(POD, namespace)


def test_a_rollout_with_kubectl(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
        assert "successfully rolled out" in await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        table = (await bed.kubectl("get", "deployment", "web")).splitlines()
        assert table[1].split()[:4] == ["web", "3/3", "3", "3"]
        assert table[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]

        await bed.kubectl("scale", "deployment/web", "--replicas=5")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        assert len(await pods(bed)) == 5

        await bed.kubectl("set", "image", "deployment/web", "web=web:2")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await until(lambda: _images(bed, ["web:2"] * 5))

        history = await bed.kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
        assert "web:1" in await bed.kubectl("rollout", "history", "deployment/web", "--revision=1")
        await bed.kubectl("rollout", "undo", "deployment/web")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await until(lambda: _images(bed, ["web:1"] * 5))
        assert "deployment.kubernetes.io/revision: 3" in await bed.kubectl("describe", "deployment", "web")

        await bed.kubectl("rollout", "restart", "deployment/web")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await bed.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
        events = await bed.kubectl("events", "--for", "deployment/web")
        assert "ScalingReplicaSet" in events

    play(tmp_path, conversation)


async def _images(bed, wanted):
    return [pod["spec"]["containers"][0]["image"] for pod in await pods(bed)] == wanted


def test_a_rollout_that_cannot_go_on_leaves_the_old_pods_and_can_be_undone(tmp_path):
    async def conversation(bed):
        bed.node.refused_images.add("broken:1")
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await bed.kubectl("patch", "deployment", "web", "-p", '{"spec": {"progressDeadlineSeconds": 1}}')
        await bed.kubectl("set", "image", "deployment/web", "web=broken:1")
        said = await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s", code=1)
        assert "exceeded its progress deadline" in said
        status = (await bed.client.get(DEPLOYMENT, "web", "default"))["status"]
        assert status["availableReplicas"] == 2
        await bed.kubectl("rollout", "undo", "deployment/web")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

    play(tmp_path, conversation)


def test_pods_that_vanish_are_replaced(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        victims = {pod["metadata"]["name"] for pod in await pods(bed)}
        await bed.kubectl("delete", "pod", *victims)
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        assert not victims & {pod["metadata"]["name"] for pod in await pods(bed)}
        assert len(await pods(bed)) == 3

    play(tmp_path, conversation)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deletion_takes_dependents_along(tmp_path, cascade):
    async def conversation(bed):
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await bed.kubectl("delete", "deployment", "web", f"--cascade={cascade}", "--timeout=60s")
        if cascade == "foreground":
            assert await bed.client.list(REPLICA_SET, "default") == []

        async def nothing_left():
            return not await bed.client.list(REPLICA_SET, "default") and not await pods(bed)

        await until(nothing_left)

    play(tmp_path, conversation)


def test_orphans_stay_and_are_adopted_again(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        before = {pod["metadata"]["uid"] for pod in await pods(bed)}
        await bed.kubectl("delete", "deployment", "web", "--cascade=orphan", "--timeout=60s")
        await until(lambda: bed.gone("Deployment", "web"))
        (orphan,) = await bed.client.list(REPLICA_SET, "default")
        assert not orphan["metadata"].get("ownerReferences")
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        (adopted,) = await bed.client.list(REPLICA_SET, "default")
        assert adopted["metadata"]["ownerReferences"][0]["name"] == "web"
        assert {pod["metadata"]["uid"] for pod in await pods(bed)} == before

    play(tmp_path, conversation)


def test_a_namespace_has_its_account_and_takes_all_in_it_along(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "namespace", "shop")

        async def furnished():
            return not await bed.gone("ServiceAccount", "default", "shop") and not await bed.gone(
                "ConfigMap", "kube-root-ca.crt", "shop"
            )

        await until(furnished)
        await bed.kubectl("-n", "shop", "create", "deployment", "web", "--image=web:1", "--replicas=2")
        await bed.kubectl("-n", "shop", "expose", "deployment", "web", "--port=80")
        await bed.kubectl("-n", "shop", "create", "secret", "generic", "s", "--from-literal=a=b")
        await bed.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
        await bed.kubectl("delete", "namespace", "shop", "--timeout=60s")
        assert await bed.gone("Namespace", "shop")
        assert await pods(bed, "shop") == []
        assert await bed.gone("Secret", "s", "shop")

    play(tmp_path, conversation)


def test_endpoints_follow_readiness(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2", "--port=8080")
        await bed.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

        async def ready():
            found = json.loads(await bed.kubectl("get", "endpointslices", "-o", "json"))["items"]
            ours = [entry for entry in found if entry["metadata"]["labels"]["kubernetes.io/service-name"] == "web"]
            assert len(ours) <= 1
            return [endpoint["conditions"]["ready"] for entry in ours for endpoint in entry.get("endpoints") or ()]

        async def both():
            return await ready() == [True, True]

        async def one():
            return sorted(await ready()) == [False, True]

        await until(both)
        await bed.node.say_ready((await pods(bed))[0], False)
        await until(one)

    play(tmp_path, conversation)


def test_a_pod_that_no_node_takes_says_why_and_runs_when_one_does(tmp_path):
    async def conversation(bed):
        picky = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "picky"},
            "spec": {"nodeSelector": {"disk": "huge"}, "containers": [{"name": "main", "image": "web:1"}]},
        }
        await bed.kubectl("apply", "-f", "-", stdin=json.dumps(picky))
        reason = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"

        async def explained():
            said = await bed.kubectl("get", "pod", "picky", "-o", reason)
            return said == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."

        await until(explained)
        assert "FailedScheduling" in await bed.kubectl("describe", "pod", "picky")
        await bed.kubectl("label", "node", "test-node", "disk=huge", "--overwrite")
        await bed.kubectl("wait", "--for=condition=Ready", "pod/picky", "--timeout=60s")

    play(tmp_path, conversation)


@pytest.mark.parametrize("durable", [True, False], ids=["state-kept", "state-lost"])
def test_controllers_outlive_the_api_server(tmp_path, durable):
    async def run():
        site = prepare(tmp_path, durable=durable)
        port = site.port
        facts = ClusterFacts("CA")
        async with ApiClient.from_kubeconfig(site.kubeconfig, user_agent="controllers") as client:
            # Nobody answers yet: the informers wait for the server to come.
            running = spawn(run_controllers(client, cluster=facts), name="controllers")
            try:
                async with serving(site):
                    await _make(client, "first", 2)
                    await until(lambda: _has_pods(client, "first", 2))
                    for number in range(20):
                        await _make(client, f"filler-{number}", 0)
                again = prepare(tmp_path, port=port, durable=durable)
                async with serving(again):
                    await _make(client, "second", 3)
                    await until(lambda: _has_pods(client, "second", 3))
                    # Pods made for a ReplicaSet that was only remembered have no owner, and are collected.
                    await until(lambda: _has_pods(client, "first", 2 if durable else 0), timeout=30)
            finally:
                await cancel_all([running])

    asyncio.run(run())


async def _make(client, name, replicas):
    made = {**deployment(name, replicas), "metadata": {"name": name, "namespace": "default"}}
    async with asyncio.timeout(10):
        await client.create(DEPLOYMENT, made)


async def _has_pods(client, name, count):
    return len(await client.list(POD, "default", label_selector=f"app={name}")) == count


def test_a_quota_holds_a_deployment_back_and_says_so(tmp_path):
    async def conversation(bed):
        await bed.kubectl("create", "quota", "small", "--hard=pods=2,count/deployments.apps=1,requests.cpu=1")
        await bed.client.create(resource("LimitRange"), LIMIT_RANGE)
        await bed.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
        refusal = "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"
        await until(lambda: _says(bed, refusal, "events", "--types=Warning"))
        events = await bed.kubectl(
            "get", "events", "--field-selector=reason=FailedCreate", "-o", "jsonpath={..message}"
        )
        assert events.startswith('Error creating: pods "web-')
        assert "ReplicaFailure" in await bed.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.conditions}")
        assert len(await pods(bed)) == 2
        assert 'deployments.apps "more" is forbidden: exceeded quota: small' in await bed.kubectl(
            "create", "deployment", "more", "--image=web:1", code=1
        )

        await bed.kubectl("create", "job", "once", "--image=web:1")
        await until(lambda: _says(bed, refusal, "events", "--for=job/once"))
        await bed.kubectl("delete", "job", "once")

        await until(lambda: _says(bed, "pods                    2     2", "describe", "quota", "small"))
        assert "requests.cpu            200m  1" in await bed.kubectl("describe", "quota", "small")
        described = await bed.kubectl("describe", "namespace", "default")
        assert "requests.cpu            200m  1" in described
        assert "Container  cpu       -    -    100m             200m           -" in described
        table = (await bed.kubectl("get", "quota")).splitlines()[1].split(maxsplit=2)
        assert table[:2] == ["small", "count/deployments.apps:"]

        await bed.kubectl("patch", "quota", "small", "--type=merge", "-p", '{"spec": {"hard": {"pods": "4"}}}')
        await bed.kubectl("scale", "deployment/web", "--replicas=4")
        await bed.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await bed.kubectl("delete", "deployment", "web")
        await until(lambda: _says(bed, "pods                    0     4", "describe", "quota", "small"))

    play(tmp_path, conversation)


LIMIT_RANGE = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "usual", "namespace": "default"},
    "spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}}]},
}


async def _says(bed, what, *args):
    return what in await bed.kubectl(*args)

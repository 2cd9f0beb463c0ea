"""Pods on a node with namespaces: their life from creation to deletion, as the API tells it."""

import base64
import time

import pytest
from network_bed import as_both_users
from node_bed import POD, LogOptions, NodeBed, in_node_cluster, is_ready, pod
from polling import until

from roadstead.api.resources import resource
from roadstead.lib.tasks import spawn

pytestmark = pytest.mark.e2e


@as_both_users
def test_a_pod_runs_to_its_end(user):
    async def scenario(bed: NodeBed):
        await bed.create("job", "echo hello; echo trouble >&2; exit 3", restartPolicy="Never")
        log = await bed.finished("job")
        return log, (await bed.pod("job"))["status"], await bed.events("job")

    log, status, events = in_node_cluster(user, scenario)
    assert sorted(log.splitlines()) == ["hello", "trouble"]
    assert status["phase"] == "Failed"
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert events == [
        ("Pulled", 'Container image "shell" already present on machine'),
        ("Created", "Created container: main"),
        ("Started", "Started container main"),
    ]


@as_both_users
def test_deletion_gives_the_process_its_grace_period(user):
    async def scenario(bed: NodeBed):
        script = "trap 'echo ending; sleep 0.2; echo ended; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        await bed.create("web", script)
        await bed.ready("web")
        follower = spawn(_follow(bed, "web"), name="follower")
        await until(lambda: _says(bed, "web", "up"))
        await bed.client.delete(POD, "web", "default")
        terminating = await bed.pod("web")
        await bed.gone("web")
        await follower
        return terminating["metadata"]["deletionGracePeriodSeconds"], followed

    followed: list[str] = []

    async def _follow(bed: NodeBed, name: str):
        log = bed.node.kubelet.logs("default", name, "main", LogOptions(follow=True))
        followed.extend([chunk.decode() async for chunk in log])

    grace, lines = in_node_cluster(user, scenario)
    assert grace == 30
    assert "".join(lines) == "up\nending\nended\n"


@as_both_users
def test_a_process_that_does_not_end_is_killed(user):
    async def scenario(bed: NodeBed):
        await bed.create("deaf", "trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1)
        await bed.ready("deaf")
        started = time.monotonic()
        await bed.client.delete(POD, "deaf", "default")
        await bed.gone("deaf")
        return time.monotonic() - started

    assert 0.9 < in_node_cluster(user, scenario) < 4


@as_both_users
def test_a_crash_is_followed_by_a_restart_and_then_by_a_pause(user):
    async def scenario(bed: NodeBed):
        await bed.create("crash", "echo again; exit 1")
        seen = await bed.when(
            "crash", lambda one: _waiting(one).get("reason") == "CrashLoopBackOff" and _main(one)["restartCount"] == 1
        )
        return _main(seen), await bed.log("crash", previous=True), dict(await bed.events("crash"))

    container, previous, events = in_node_cluster(user, scenario)
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main")
    assert previous == "again\n"
    assert events["BackOff"] == "Back-off restarting failed container main in pod crash"


@as_both_users
def test_init_containers_run_in_order_and_sidecars_stay(user):
    async def scenario(bed: NodeBed):
        shared = [{"name": "shared", "mountPath": "/shared"}]
        steps = [
            {"name": name, "image": "shell", "args": [f"echo {name} >> /shared/order"], "volumeMounts": shared}
            for name in ("one", "two")
        ]
        side = {"name": "side", "image": "shell", "args": ["sleep 1000"], "restartPolicy": "Always"}
        main = {"volumeMounts": shared}
        volumes = [{"name": "shared", "emptyDir": {}}]
        await bed.create(
            "ordered", "cat /shared/order", main=main, volumes=volumes,
            initContainers=[steps[0], side, steps[1]], restartPolicy="Never",
        )  # fmt: skip
        log = await bed.finished("ordered")
        return log, (await bed.pod("ordered"))["status"]

    log, status = in_node_cluster(user, scenario)
    assert log == "one\ntwo\n"
    assert status["phase"] == "Succeeded"
    assert [one["name"] for one in status["initContainerStatuses"]] == ["one", "side", "two"]


@as_both_users
def test_an_unknown_image_says_what_to_add(user):
    async def scenario(bed: NodeBed):
        await bed.create("unknown", "", main={"image": "registry.example.com/user:1.0"})
        seen = await bed.when("unknown", lambda one: "Image" in _waiting(one).get("reason", ""))
        return _waiting(seen), await bed.events("unknown")

    waiting, events = in_node_cluster(user, scenario)
    assert waiting["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert '[images."registry.example.com/user:1.0"]\ncommand = ' in waiting["message"]
    assert any(reason == "Failed" and "registry.example.com/user:1.0" in message for reason, message in events)


@as_both_users
def test_a_program_that_does_not_exist_is_named(user):
    async def scenario(bed: NodeBed):
        await bed.create("wrong", "", main={"command": ["/no/such/program"]}, restartPolicy="Never")
        await bed.finished("wrong")
        return _main(await bed.pod("wrong"))["state"]["terminated"]

    ended = in_node_cluster(user, scenario)
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such/program" in ended["message"]


@as_both_users
def test_a_start_that_failed_counts_as_a_restart(user):
    async def scenario(bed: NodeBed):
        await bed.create("wrong", "", main={"command": ["/no/such/program"]})
        return _main(await bed.when("wrong", lambda one: _waiting(one).get("reason") == "CrashLoopBackOff"))

    container = in_node_cluster(user, scenario)
    assert container["restartCount"] == 1
    assert container["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main")


@as_both_users
def test_fields_without_effect_are_told_in_one_event(user):
    async def scenario(bed: NodeBed):
        main = {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
        await bed.create("asks", "sleep 60", main=main, hostPID=True, terminationGracePeriodSeconds=0)
        await bed.ready("asks")
        return [message for reason, message in await bed.events("asks") if reason == "FieldHasNoEffect"]

    [told] = in_node_cluster(user, scenario)
    assert "spec.hostPID: " in told
    assert "spec.containers[0].securityContext.capabilities.add: NET_ADMIN: " in told


@as_both_users
def test_a_missing_secret_is_waited_for(user):
    async def scenario(bed: NodeBed):
        env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "late", "key": "password"}}}]
        await bed.create("patient", "echo $PASSWORD", main={"env": env}, restartPolicy="Never")
        seen = await bed.when("patient", lambda one: _waiting(one).get("reason") == "CreateContainerConfigError")
        data = {"password": base64.b64encode(b"sesame").decode()}
        await bed.client.create(
            resource("Secret"),
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late", "namespace": "default"}, "data": data},
        )
        return _waiting(seen)["message"], await bed.finished("patient")

    assert in_node_cluster(user, scenario) == ('secret "late" not found', "sesame\n")


@as_both_users
def test_a_node_that_comes_back_starts_its_pods_again(user):
    async def earlier_life(client):
        await client.create(POD, pod("web", "sleep 1000"))
        ran = {
            "name": "main", "image": "shell", "imageID": "", "ready": True, "restartCount": 2, "started": True,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {},
        }  # fmt: skip
        status = {"phase": "Running", "podIP": "10.244.9.9", "containerStatuses": [ran]}
        await client.patch(POD, "web", "default", {"status": status}, subresource="status")

    async def scenario(bed: NodeBed):
        seen = await bed.when("web", lambda one: _main(one)["restartCount"] == 3 and is_ready(one))
        return seen["status"]

    status = in_node_cluster(user, scenario, before=earlier_life)
    assert status["podIP"] not in ("", "10.244.9.9")
    ended = _main({"status": status})["lastState"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (137, "The node that ran this container ended")


async def _says(bed, name, text):
    return text in await bed.log(name)


def _main(pod):
    return pod["status"]["containerStatuses"][0]


def _waiting(pod):
    statuses = pod["status"].get("containerStatuses")
    return statuses[0]["state"].get("waiting") or {} if statuses else {}

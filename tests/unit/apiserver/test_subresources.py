"""Scale, binding, eviction and service account tokens, over HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from apiserver_bed import DEPLOYMENTS, PODS, Bench, bench, deployment, pod

from roadstead.api.objects import owner_reference

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


def test_a_scale_shows_and_changes_one_number() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEPLOYMENTS, deployment("web", 2))
        scale = await server.get(f"{DEPLOYMENTS}/web/scale")
        assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 2)
        assert scale["status"]["selector"] == "app=web"
        scale["spec"]["replicas"] = 5
        assert (await server.good("PUT", f"{DEPLOYMENTS}/web/scale", scale)).json()["spec"]["replicas"] == 5
        stale = await server.refused(409, "PUT", f"{DEPLOYMENTS}/web/scale", scale)
        assert stale["reason"] == "Conflict"
        patched = await server.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 0}})
        assert patched.json()["spec"] == {}
        for patch, code in (({"spec": {"replicas": "x"}}, 422), ({"metadata": {"name": "other"}}, 400)):
            assert (await server.patch(f"{DEPLOYMENTS}/web/scale", patch)).code == code
        web = await server.get(f"{DEPLOYMENTS}/web")
        assert (web["spec"]["replicas"], web["metadata"]["generation"]) == (0, 3)
        assert any(entry.get("subresource") == "scale" for entry in web["metadata"]["managedFields"])

    talk(conversation)


@pytest.mark.parametrize(("replicas", "code"), [(-1, 422), ("many", 422), (True, 422)])
def test_a_scale_that_makes_no_sense_is_refused(replicas: Any, code: int) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEPLOYMENTS, deployment("web"))
        assert (await server.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": replicas}})).code == code

    talk(conversation)


def binding(pod: str, **target: str) -> dict[str, Any]:
    return {"metadata": {"name": pod}, "target": target}


def test_a_pod_is_bound_once() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(PODS, pod("a"))
        await server.create(PODS, pod("b"))
        await server.create(f"{PODS}/a/binding", binding("a", kind="Node", name="n1"))
        bound = await server.get(f"{PODS}/a")
        assert bound["spec"]["nodeName"] == "n1"
        assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
        assert bound["status"]["phase"] == "Pending"
        again = await server.refused(409, "POST", f"{PODS}/a/binding", binding("a", name="n2"))
        assert again["message"] == (
            'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"'
        )
        await server.refused(422, "POST", f"{PODS}/b/binding", binding("b"))
        await server.refused(422, "POST", f"{PODS}/b/binding", binding("b", kind="Pod", name="n1"))
        await server.refused(422, "POST", f"{PODS}/b/binding", binding("b", name="N 1"))
        await server.refused(400, "POST", f"{PODS}/b/binding", binding("a", name="n1"))
        await server.refused(
            409, "POST", f"{PODS}/b/binding", {"metadata": {"name": "b", "uid": "other"}, "target": {"name": "n1"}}
        )
        bindings = "/api/v1/namespaces/default/bindings"
        await server.create(bindings, {"metadata": {"name": "b"}, "target": {"name": "n1"}})
        assert (await server.get(f"{PODS}/b"))["spec"]["nodeName"] == "n1"

    talk(conversation)


def test_a_pod_on_a_node_goes_when_its_agent_says_so() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(PODS, pod("a", node="n1"))
        marked = (await server.good("DELETE", f"{PODS}/a", {"gracePeriodSeconds": 7})).json()
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
        status = {"status": {"phase": "Succeeded"}}
        await server.patch(f"{PODS}/a/status", status)
        assert (await server.get(f"{PODS}/a"))["status"]["phase"] == "Succeeded", "the agent may still report"
        await server.good("DELETE", f"{PODS}/a", {"gracePeriodSeconds": 0})
        await server.refused(404, "GET", f"{PODS}/a")

    talk(conversation)


async def ready_pods(server: Bench, count: int) -> None:
    sets = "/apis/apps/v1/namespaces/default/replicasets"
    body = {**deployment("web", count), "kind": "ReplicaSet"}
    owner = await server.create(sets, body)
    for number in range(count):
        made = pod(f"p{number}", labels={"app": "web"}, ownerReferences=[owner_reference(owner)])
        await server.create(PODS, made)
        ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        await server.patch(f"{PODS}/p{number}/status", ready)


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({"minAvailable": 3}, 1),
        ({"minAvailable": "60%"}, 1),
        ({"minAvailable": "50%"}, 2),
        ({"maxUnavailable": 2}, 2),
        ({"maxUnavailable": 0}, 0),
        ({}, 3),
    ],
)
def test_evictions_stop_where_a_budget_ends(spec: dict[str, Any], allowed: int) -> None:
    async def conversation(server: Bench) -> None:
        await ready_pods(server, 4)
        budget = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}}
        await server.create(BUDGETS, budget)
        for number in range(allowed):
            await server.create(f"{PODS}/p{number}/eviction", {"metadata": {"name": f"p{number}"}})
        refused = await server.refused(
            429, "POST", f"{PODS}/p{allowed}/eviction", {"metadata": {"name": f"p{allowed}"}}
        )
        assert refused["details"]["causes"][0]["reason"] == "DisruptionBudget"

    talk(conversation)


def test_without_a_budget_every_pod_can_be_evicted() -> None:
    async def conversation(server: Bench) -> None:
        await ready_pods(server, 1)
        await server.create(f"{PODS}/p0/eviction", {"metadata": {"name": "p0"}})
        await server.refused(404, "GET", f"{PODS}/p0")

    talk(conversation)


def test_a_service_account_s_token_is_good_for_its_time_and_its_account() -> None:
    async def conversation(server: Bench) -> None:
        account = await server.create(ACCOUNTS, {"metadata": {"name": "bob"}})
        request = {"spec": {"expirationSeconds": 600, "audiences": []}}
        made = await server.create(f"{ACCOUNTS}/bob/token", request)
        assert made["status"]["expirationTimestamp"] == "2026-03-01T12:10:00Z"
        token = made["status"]["token"]
        review = await server.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {}}, token=token)
        info = review["status"]["userInfo"]
        assert info["username"] == "system:serviceaccount:default:bob"
        assert info["uid"] == account["metadata"]["uid"]
        assert "system:serviceaccounts:default" in info["groups"]
        server.clock.now += timedelta(seconds=601)
        await server.refused(401, "GET", PODS, token=token)
        await server.refused(422, "POST", f"{ACCOUNTS}/bob/token", {"spec": {"expirationSeconds": 5}})
        await server.refused(404, "POST", f"{ACCOUNTS}/eve/token", {})

    talk(conversation)


def test_a_namesake_does_not_inherit_a_token() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(ACCOUNTS, {"metadata": {"name": "bob"}})
        token = (await server.create(f"{ACCOUNTS}/bob/token", {}))["status"]["token"]
        await server.good("DELETE", f"{ACCOUNTS}/bob")
        await server.refused(401, "GET", PODS, token=token)
        await server.create(ACCOUNTS, {"metadata": {"name": "bob"}})
        await server.refused(401, "GET", PODS, token=token)

    talk(conversation)


def test_a_token_bound_to_a_pod_ends_with_it() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(ACCOUNTS, {"metadata": {"name": "bob"}})
        await server.create(PODS, pod("z"))
        foreign = {"kind": "Pod", "apiVersion": "v1", "name": "z"}
        await server.refused(400, "POST", f"{ACCOUNTS}/bob/token", {"spec": {"boundObjectRef": foreign}})
        made = await server.create(PODS, {**pod("a"), "spec": {**pod("a")["spec"], "serviceAccountName": "bob"}})
        bound = {"kind": "Pod", "apiVersion": "v1", "name": "a", "uid": made["metadata"]["uid"]}
        wrong = {**bound, "uid": "other"}
        await server.refused(409, "POST", f"{ACCOUNTS}/bob/token", {"spec": {"boundObjectRef": wrong}})
        reply = await server.create(f"{ACCOUNTS}/bob/token", {"spec": {"boundObjectRef": bound}})
        review = {"spec": {"token": reply["status"]["token"]}}
        answer = await server.create("/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert answer["status"]["authenticated"]
        assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["a"]
        await server.good("DELETE", f"{PODS}/a")
        answer = await server.create("/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert answer["status"] == {"error": "invalid bearer token", "user": {}}

    talk(conversation)


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("DELETE", "", {"preconditions": {"uid": 5}}, "Go struct field Preconditions.preconditions.uid of type string"),
        ("DELETE", "", {"propagationPolicy": {}}, "Go struct field DeleteOptions.propagationPolicy of type string"),
        ("POST", "/eviction", {"deleteOptions": []}, "Go struct field Eviction.deleteOptions of type v1.DeleteOptions"),
        ("POST", "/binding", {"target": "n1"}, "Go struct field Binding.target of type v1.ObjectReference"),
    ],
)
def test_bodies_of_wrong_types_are_bad_requests(method: str, path: str, body: Any, problem: str) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(PODS, pod("web"))
        refused = await server.refused(400, method, f"{PODS}/web{path}", body)
        assert problem in refused["message"]

    talk(conversation)


def test_a_scale_is_applied_and_owned() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEPLOYMENTS, deployment("web"))
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 4}}
        path = f"{DEPLOYMENTS}/web/scale?fieldManager=scaler"
        refused = await server.patch(path, scale, "apply")
        assert refused.code == 409
        assert ".spec.replicas" in refused.json()["message"]
        applied = await server.patch(f"{path}&force=true", scale, "apply")
        assert (applied.code, applied.json()["kind"], applied.json()["spec"]["replicas"]) == (200, "Scale", 4)
        owners = (await server.get(f"{DEPLOYMENTS}/web"))["metadata"]["managedFields"]
        mine = next(entry for entry in owners if entry["manager"] == "scaler")
        assert (mine["operation"], mine["subresource"]) == ("Apply", "scale")
        assert mine["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
        whole = deployment("web", 5)
        taken = await server.patch(f"{DEPLOYMENTS}/web?fieldManager=whole", whole, "apply")
        assert taken.code == 409
        assert 'conflict with "scaler" with subresource "scale"' in taken.json()["message"]

    talk(conversation)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"spec": {"replicas": -1}}, 422), ({"spec": {"replicas": "two"}}, 400), ({"kind": "Other"}, 400)],
)
def test_scales_that_cannot_be_applied_are_refused(change: Any, code: int) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(DEPLOYMENTS, deployment("web"))
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, **change}
        reply = await server.patch(f"{DEPLOYMENTS}/web/scale?fieldManager=scaler&force=true", scale, "apply")
        assert reply.code == code, reply.body

    talk(conversation)


DEBUGGER = {"name": "look", "image": "tools:1"}


def test_ephemeral_containers_are_added_by_their_subresource() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(PODS, pod("web", node="here"))
        patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"ephemeralContainers": [DEBUGGER], "nodeName": "there"}}
        reply = await server.patch(f"{PODS}/web/ephemeralcontainers", patch, "strategic-merge")
        visited = reply.json()
        (added,) = visited["spec"].pop("ephemeralContainers")
        assert (reply.code, added["name"], added["terminationMessagePolicy"]) == (200, "look", "File")
        assert visited["spec"] == made["spec"], "nothing else is written here"
        assert "labels" not in visited["metadata"]
        assert [entry.get("subresource") for entry in visited["metadata"]["managedFields"]].count(
            "ephemeralcontainers"
        ) == 1
        whole = await server.get(f"{PODS}/web/ephemeralcontainers")
        whole["spec"]["ephemeralContainers"].append({**DEBUGGER, "name": "again", "targetContainerName": "main"})
        more = (await server.good("PUT", f"{PODS}/web/ephemeralcontainers", whole)).json()
        assert [entry["name"] for entry in more["spec"]["ephemeralContainers"]] == ["look", "again"]

    talk(conversation)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ([], 'existing ephemeral containers "look" may not be removed'),
        ([{**DEBUGGER, "image": "other"}], 'existing ephemeral containers "look" may not be changed'),
        ([DEBUGGER, {**DEBUGGER, "name": "main"}], "spec.ephemeralContainers[1].name: Duplicate value"),
        ([DEBUGGER, {**DEBUGGER, "name": "x", "targetContainerName": "no"}], "targetContainerName: Not found"),
        ([DEBUGGER, {**DEBUGGER, "name": "x", "ports": [{"containerPort": 1}]}], "cannot be set for an Ephemeral"),
    ],
)
def test_ephemeral_containers_are_only_added(changed: list[Any], words: str) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(PODS, pod("web"))
        path = f"{PODS}/web/ephemeralcontainers"
        await server.good("PATCH", path, {"spec": {"ephemeralContainers": [DEBUGGER]}}, content_type=MERGE)
        refused = await server.refused(
            422, "PATCH", path, {"spec": {"ephemeralContainers": changed}}, content_type=MERGE
        )
        assert words in refused["message"]

    talk(conversation)


MERGE = "application/merge-patch+json"


def test_ephemeral_containers_come_in_no_other_way() -> None:
    async def conversation(server: Bench) -> None:
        made = pod("web")
        made["spec"]["ephemeralContainers"] = [DEBUGGER]
        refused = await server.refused(422, "POST", PODS, made)
        assert "spec.ephemeralContainers: Forbidden: cannot be set on create" in refused["message"]
        await server.create(PODS, pod("web"))
        reply = await server.patch(f"{PODS}/web", {"spec": {"ephemeralContainers": [DEBUGGER]}})
        assert (reply.code, "use the pod's ephemeralcontainers subresource" in reply.json()["message"]) == (422, True)
        await server.refused(404, "PATCH", f"{DEPLOYMENTS}/web/ephemeralcontainers", {}, content_type=MERGE)

    talk(conversation)

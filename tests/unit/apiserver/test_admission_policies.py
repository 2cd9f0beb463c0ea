"""ValidatingAdmissionPolicies as clients meet them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, DEPLOYMENTS, PODS, Bench, bench, configmap, deployment, pod

from roadstead.api.resources import resource

Conversation = Callable[[Bench], Coroutine[Any, Any, None]]
POLICIES = resource("ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1").path()
BINDINGS = resource("ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1").path()
NAMESPACES = resource("Namespace").path()
AT_MOST_5 = {"expression": "object.spec.replicas <= 5", "message": "at most 5"}


def talk(conversation: Conversation) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


def policy(
    *validations: Any, group: str = "apps", resources: str = "deployments", name: str = "limit", **spec: Any
) -> dict[str, Any]:
    rule = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": resources.split(",")}
    rules = [each if isinstance(each, dict) else {"expression": each} for each in validations]
    constraints = {"resourceRules": [rule]}
    return {"metadata": {"name": name}, "spec": {"matchConstraints": constraints, "validations": rules, **spec}}


def binding(*actions: str, name: str = "everywhere", of: str = "limit", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyName": of, "validationActions": actions or ("Deny",), **spec}}


async def enforce(server: Bench, policy_: dict[str, Any], *bindings: dict[str, Any]) -> None:
    await server.create(POLICIES, policy_)
    for each in bindings or (binding(of=policy_["metadata"]["name"]),):
        await server.create(BINDINGS, each)


def test_what_a_policy_denies_is_refused_in_the_words_of_kubernetes() -> None:
    async def conversation(server: Bench) -> None:
        await enforce(server, policy(AT_MOST_5))
        await server.create(DEPLOYMENTS, deployment("small", 5))
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("big", 6))
        problem = "ValidatingAdmissionPolicy 'limit' with binding 'everywhere' denied request: at most 5"
        assert refused["message"] == f'deployments.apps "big" is forbidden: {problem}'
        assert refused["reason"] == "Invalid"
        assert refused["details"] == {
            "name": "big", "group": "apps", "kind": "deployments", "causes": [{"message": problem}]
        }  # fmt: skip
        assert (await server.send("GET", f"{DEPLOYMENTS}/big")).code == 404

    talk(conversation)


def test_every_way_of_writing_is_held_to_it() -> None:
    async def conversation(server: Bench) -> None:
        await enforce(server, policy(AT_MOST_5))
        await server.create(DEPLOYMENTS, deployment("web", 3))
        big = {"spec": {"replicas": 6}}
        assert (await server.patch(f"{DEPLOYMENTS}/web", big)).code == 422
        applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, **big}
        assert (await server.patch(f"{DEPLOYMENTS}/web?fieldManager=x&force=true", applied, "apply")).code == 422
        live = await server.get(f"{DEPLOYMENTS}/web")
        live["spec"]["replicas"] = 6
        await server.refused(422, "PUT", f"{DEPLOYMENTS}/web", live)
        await server.refused(422, "POST", f"{DEPLOYMENTS}?dryRun=All", deployment("dry", 6))
        assert (await server.get(f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 3

    talk(conversation)


def test_a_policy_is_in_force_from_binding_to_unbinding() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(POLICIES, policy("false"))
        await server.create(DEPLOYMENTS, deployment("before"))
        await server.create(BINDINGS, binding())
        await server.refused(422, "POST", DEPLOYMENTS, deployment("within"))
        await server.good("DELETE", f"{BINDINGS}/everywhere")
        await server.create(DEPLOYMENTS, deployment("after"))

    talk(conversation)


def test_policies_cannot_lock_out_those_who_would_change_them() -> None:
    async def conversation(server: Bench) -> None:
        await enforce(server, policy("false", group="*", resources="*"))
        await server.refused(422, "POST", CONFIGMAPS, configmap("any"))
        await server.good("DELETE", f"{BINDINGS}/everywhere")
        await server.good("DELETE", f"{POLICIES}/limit")

    talk(conversation)


def test_warnings_are_told_and_hold_nothing_up() -> None:
    async def conversation(server: Bench) -> None:
        await enforce(server, policy(AT_MOST_5), binding("Warn", "Audit"))
        told = await server.good("POST", DEPLOYMENTS, deployment("big", 6))
        assert told.headers["warning"] == (
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'limit' with binding 'everywhere': at most 5\""
        )
        assert "warning" not in (await server.good("POST", DEPLOYMENTS, deployment("small"))).headers
        assert "warning" in (await server.patch(f"{DEPLOYMENTS}/big", {"metadata": {"labels": {"a": "b"}}})).headers
        again = await server.good("PATCH", f"{DEPLOYMENTS}/big/scale", {}, content_type="application/merge-patch+json")
        assert "warning" not in again.headers, "the policy is not about the subresource"

    talk(conversation)


@pytest.mark.parametrize(("reason", "code"), [("Forbidden", 403), ("RequestEntityTooLarge", 413), ("Invalid", 422)])
def test_a_rule_chooses_the_status(reason: str, code: int) -> None:
    async def conversation(server: Bench) -> None:
        await enforce(server, policy({"expression": "false", "reason": reason}))
        refused = await server.refused(code, "POST", DEPLOYMENTS, deployment("web"))
        assert refused["reason"] == reason

    talk(conversation)


def test_deletions_show_what_was_there() -> None:
    async def conversation(server: Bench) -> None:
        kept = "request.operation != 'DELETE' || object != null || oldObject.metadata.name != 'keep'"
        await enforce(server, policy(kept, group="", resources="configmaps"))
        for name in ("keep", "drop"):
            await server.create(CONFIGMAPS, configmap(name))
        await server.good("DELETE", f"{CONFIGMAPS}/drop")
        await server.refused(422, "DELETE", f"{CONFIGMAPS}/keep")
        assert (await server.get(f"{CONFIGMAPS}/keep"))["metadata"]["name"] == "keep"

    talk(conversation)


def test_a_scale_is_seen_as_one() -> None:
    async def conversation(server: Bench) -> None:
        seen = "object.kind == 'Scale' && request.kind.kind == 'Scale' && object.spec.replicas <= 5"
        await enforce(server, policy(seen, resources="deployments/scale"))
        await server.create(DEPLOYMENTS, deployment("web"))
        await server.good(
            "PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 5}}, content_type="application/merge-patch+json"
        )
        await server.refused(
            422, "PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 6}},
            content_type="application/merge-patch+json",
        )  # fmt: skip

    talk(conversation)


def test_rules_know_who_asks_and_where() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(NAMESPACES, {"metadata": {"name": "prod", "labels": {"env": "prod"}}})
        rules = (
            "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
            "namespaceObject.metadata.labels['env'] == 'prod'",
            "request.namespace == 'prod' && request.name == 'a' && request.resource.resource == 'configmaps'",
            "request.dryRun == false && request.options.kind == 'CreateOptions'",
            "authorizer.requestResource.check('delete').allowed()",
            "!authorizer.serviceAccount('prod', 'x').group('').resource('pods').check('get').allowed()",
        )
        await enforce(server, policy(*rules, group="", resources="configmaps"))
        await server.create(CONFIGMAPS.replace("default", "prod"), configmap("a", "prod"))

    talk(conversation)


def test_bindings_choose_namespaces_and_objects() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(NAMESPACES, {"metadata": {"name": "prod", "labels": {"env": "prod"}}})
        chosen = {
            "namespaceSelector": {"matchLabels": {"env": "prod"}},
            "objectSelector": {"matchLabels": {"tier": "web"}},
        }
        await enforce(server, policy("false", group="", resources="pods"), binding(matchResources=chosen))
        there = PODS.replace("default", "prod")
        await server.create(PODS, pod("a", labels={"tier": "web"}))
        await server.create(there, pod("a") | {"metadata": {"name": "a", "namespace": "prod"}})
        named = {"name": "b", "namespace": "prod", "labels": {"tier": "web"}}
        await server.refused(422, "POST", there, pod("b") | {"metadata": named})

    talk(conversation)


def parametrized() -> dict[str, Any]:
    return policy(
        {
            "expression": "object.spec.replicas <= int(params.data.most)",
            "messageExpression": "'at most ' + params.data.most",
        },
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )


def test_parameters_come_from_objects_of_the_cluster() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("limits", most="2"))
        reference = {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}
        await enforce(server, parametrized(), binding(paramRef=reference))
        await server.create(DEPLOYMENTS, deployment("small", 2))
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("big", 3))
        assert refused["message"].endswith("denied request: at most 2")
        await server.patch(f"{CONFIGMAPS}/limits", {"data": {"most": "3"}})
        await server.create(DEPLOYMENTS, deployment("big", 3))
        await server.good("DELETE", f"{CONFIGMAPS}/limits")
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("other", 1))
        assert refused["message"].endswith(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        )

    talk(conversation)


def test_each_of_several_parameters_counts() -> None:
    async def conversation(server: Bench) -> None:
        for name, most in (("a", "4"), ("b", "2")):
            await server.create(CONFIGMAPS, configmap(name, most=most) | {
                "metadata": {"name": name, "labels": {"of": "limits"}}})  # fmt: skip
        reference = {"selector": {"matchLabels": {"of": "limits"}}, "parameterNotFoundAction": "Allow"}
        await enforce(server, parametrized(), binding(paramRef=reference))
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("web", 3))
        assert refused["message"].endswith("at most 2")
        for name in ("a", "b"):
            await server.good("DELETE", f"{CONFIGMAPS}/{name}")
        await server.create(DEPLOYMENTS, deployment("web", 3))

    talk(conversation)


def test_parameters_of_an_unknown_kind_deny_whatever_the_action() -> None:
    async def conversation(server: Bench) -> None:
        unknown = policy("true", paramKind={"apiVersion": "example.com/v1", "kind": "Limit"})
        reference = {"name": "x", "parameterNotFoundAction": "Allow"}
        await enforce(server, unknown, binding("Warn", paramRef=reference))
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("web"))
        assert (
            "failed to configure binding: paramKind kind `example.com/v1, Kind=Limit` not known" in refused["message"]
        )

    talk(conversation)


def test_a_policy_that_cannot_be_compiled_is_not_stored() -> None:
    async def conversation(server: Bench) -> None:
        refused = await server.refused(422, "POST", POLICIES, policy("object.spec.replicas <=", "params.x == 1"))
        fields = [cause["field"] for cause in refused["details"]["causes"]]
        assert fields == ["spec.validations[0].expression", "spec.validations[1].expression"]
        assert "compilation failed: undeclared reference to 'params'" in refused["message"]

    talk(conversation)


def test_many_policies_together_cost_no_more_than_one() -> None:
    async def conversation(server: Bench) -> None:
        entries = ", ".join(["0"] * 100)
        costly = f"[{entries}].all(i, [{entries}].all(j, [{entries}].all(k, i + j + k == 0)))"
        for number in range(3):
            name = f"costly-{number}"
            await enforce(server, policy(costly, name=name), binding(name=name, of=name))
        refused = await server.refused(422, "POST", DEPLOYMENTS, deployment("web"))
        assert "running out of cost budget" in refused["message"]

    talk(conversation)

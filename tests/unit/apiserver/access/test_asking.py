"""Who may ask for what, and what is told about it: reviews, impersonation, rules on the names of lists."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import Bench, bench

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


async def allow(server: Bench, subject: dict[str, str], **rule: Any) -> None:
    await server.create(f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    binding = {"metadata": {"name": "b"}, "roleRef": role, "subjects": [subject]}
    await server.create(f"{RBAC}/namespaces/default/rolebindings", binding)


def test_a_rule_on_a_name_allows_the_list_of_that_name() -> None:
    async def conversation(server: Bench) -> None:
        user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        await allow(server, user, verbs=["list"], apiGroups=[""], resources=["configmaps"], resourceNames=["a"])
        jane = {"token": "jane-token"}
        await server.good("GET", f"{CONFIGMAPS}?fieldSelector=metadata.name%3Da", **jane)
        refused = await server.refused(403, "GET", f"{CONFIGMAPS}?fieldSelector=metadata.name%3Db", **jane)
        assert refused["message"].startswith('configmaps "b" is forbidden')
        await server.refused(403, "GET", CONFIGMAPS, **jane)
        await server.refused(403, "GET", f"{CONFIGMAPS}?fieldSelector=a", **jane)

    talk(conversation)


def test_a_review_says_which_subject_of_which_binding_allows() -> None:
    async def conversation(server: Bench) -> None:
        account = {"kind": "ServiceAccount", "name": "bob"}
        await allow(server, account, verbs=["get"], apiGroups=[""], resources=["pods"])
        attributes = {"namespace": "default", "verb": "get", "resource": "pods"}
        spec = {"user": "system:serviceaccount:default:bob", "resourceAttributes": attributes}
        status = (await server.create(f"{REVIEWS}/subjectaccessreviews", {"spec": spec}))["status"]
        words = 'RBAC: allowed by RoleBinding "b/default" of Role "r" to ServiceAccount "bob/default"'
        assert status == {"allowed": True, "reason": words}

    talk(conversation)


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        (
            "subjectaccessreviews",
            {"spec": {}},
            '.authorization.k8s.io "" is invalid: [spec: Invalid value: null: exactly one',
        ),
        (
            "selfsubjectaccessreviews",
            {"metadata": {"name": "x"}, "spec": {"resourceAttributes": {}}},
            'metadata: Invalid value: {"name":"x"}: must be empty',
        ),
        (
            "selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"labelSelector": {"rawSelector": "a", "requirements": [{}]}}}},
            "labelSelector.rawSelector: Invalid value",
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            {"spec": {"user": "a", "resourceAttributes": {"namespace": "other"}}},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            {"spec": {"user": "a", "nonResourceAttributes": {"path": "/"}}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":""}: disallowed',
        ),
    ],
)
def test_a_question_that_cannot_be_answered_is_invalid(kind: str, body: Any, problem: str) -> None:
    async def conversation(server: Bench) -> None:
        assert problem in (await server.refused(422, "POST", f"{REVIEWS}/{kind}", body))["message"]

    talk(conversation)


def test_rules_are_of_a_namespace() -> None:
    async def conversation(server: Bench) -> None:
        refused = await server.refused(400, "POST", f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {}})
        assert refused["message"] == "no namespace on request"
        asked = {"spec": {"namespace": "default"}}
        assert (await server.create(f"{REVIEWS}/selfsubjectrulesreviews", asked))["status"]["resourceRules"]

    talk(conversation)


def test_a_token_is_for_this_server_unless_it_says_otherwise() -> None:
    async def conversation(server: Bench) -> None:
        review = {"spec": {"token": "jane-token", "audiences": ["elsewhere"]}}
        assert (await server.create(TOKENS, review))["status"] == {"error": "invalid bearer token", "user": {}}
        status = (await server.create(TOKENS, {"spec": {"token": "jane-token"}}))["status"]
        assert (status["authenticated"], status["user"]["username"]) == (True, "jane")
        assert len(status["audiences"]) == 1

    talk(conversation)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"impersonate-user": "a", "impersonate-uid": "5", "impersonate-extra-Acme.com%2Fteam": "x"},
            {"username": "a", "uid": "5", "groups": ["system:authenticated"], "extra": {"acme.com/team": ["x"]}},
        ),
        (
            {"impersonate-user": "a", "impersonate-group": "system:unauthenticated"},
            {"username": "a", "groups": ["system:unauthenticated"]},
        ),
    ],
)
def test_everything_about_somebody_can_be_impersonated(headers: dict[str, str], expected: Any) -> None:
    async def conversation(server: Bench) -> None:
        named = {"authorization": "Bearer admin-token", "content-type": "application/json", **headers}
        await server.create(
            f"{RBAC}/clusterrolebindings",
            {
                "metadata": {"name": "all"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "a"}],
            },
        )
        reply = await server.exchange("POST", WHO, b"{}", named)
        assert reply.json()["status"]["userInfo"] == expected

    talk(conversation)


def test_impersonation_needs_a_name() -> None:
    async def conversation(server: Bench) -> None:
        refused = await server.refused(400, "GET", CONFIGMAPS, headers={"impersonate-group": "x"})
        told = '&user.DefaultInfo{Name:"", UID:"", Groups:[]string{"x"}, Extra:map[string][]string(nil)}'
        assert refused["message"] == f"requested {told} without impersonating a user name"

    talk(conversation)

"""Who may call, and who may do what, over HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, ISSUER, PODS, Bench, bench, configmap

from roadstead.api.errors import Unauthorized
from roadstead.apiserver.access.authentication import user_of_certificate

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
JANE = {"token": "jane-token"}


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version", "/version/"])
def test_anybody_may_ask_whether_the_server_lives(path: str) -> None:
    async def conversation(server: Bench) -> None:
        assert (await server.send("GET", path, token="")).code == 200

    talk(conversation)


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", PODS, "/openapi/v3", "/", "/metrics"])
def test_strangers_are_refused_everywhere_else(path: str) -> None:
    async def conversation(server: Bench) -> None:
        status = await server.refused(401, "GET", path, token="")
        assert status["reason"] == "Unauthorized"
        await server.refused(401, "GET", path, token="wrong")
        await server.refused(401, "GET", path, token="", headers={"authorization": "Basic YTpi"})
        await server.refused(401, "GET", path, token="a.b.c")

    talk(conversation)


def test_a_certificate_names_the_user_and_its_groups() -> None:
    subject = ((("organizationName", "system:masters"),), (("organizationName", "ops"),), (("commonName", "ann"),))
    user = user_of_certificate({"subject": subject})
    assert (user.name, user.groups) == ("ann", ("system:masters", "ops", "system:authenticated"))
    with pytest.raises(Unauthorized):
        user_of_certificate({"subject": ()})


def test_who_has_no_role_may_look_at_discovery_and_at_nothing_else() -> None:
    async def conversation(server: Bench) -> None:
        await server.good("GET", "/apis", **JANE)
        refused = await server.refused(403, "GET", PODS, **JANE)
        expected = (
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
        )
        assert refused["message"] == expected
        path = await server.refused(403, "GET", "/metrics", **JANE)
        assert path["message"] == 'forbidden: User "jane" cannot get path "/metrics"'

    talk(conversation)


async def grant(server: Bench, rules: list[Any], *, cluster: bool = False, to: str = "jane") -> None:
    kind = "ClusterRole" if cluster else "Role"
    roles = f"{RBAC}/clusterroles" if cluster else f"{RBAC}/namespaces/default/roles"
    await server.create(roles, {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"},
        "subjects": [{"kind": "User", "name": to, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await server.create(roles.replace("roles", "rolebindings"), binding)


def test_a_role_counts_in_its_namespace_for_its_verbs_and_names_from_the_moment_it_is_stored() -> None:
    async def conversation(server: Bench) -> None:
        for name in ("a", "b"):
            await server.create(CONFIGMAPS, configmap(name))
        await server.refused(403, "GET", f"{CONFIGMAPS}/a", **JANE)
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["a"]}
        await grant(server, [rule])
        await server.good("GET", f"{CONFIGMAPS}/a", **JANE)
        await server.refused(403, "GET", f"{CONFIGMAPS}/b", **JANE)
        await server.refused(403, "GET", CONFIGMAPS, **JANE)
        await server.refused(403, "DELETE", f"{CONFIGMAPS}/a", **JANE)
        await server.refused(403, "GET", "/api/v1/namespaces/kube-system/configmaps/a", **JANE)
        await server.good("DELETE", f"{RBAC}/namespaces/default/rolebindings/b")
        await server.refused(403, "GET", f"{CONFIGMAPS}/a", **JANE)

    talk(conversation)


def test_subresources_are_granted_by_themselves() -> None:
    async def conversation(server: Bench) -> None:
        await grant(server, [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}])
        await server.refused(404, "GET", f"{PODS}/a/log", **JANE)
        await server.refused(403, "GET", f"{PODS}/a", **JANE)

    talk(conversation)


def test_the_user_facing_roles_aggregate() -> None:
    async def conversation(server: Bench) -> None:
        binding = {
            "metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        await server.create(f"{RBAC}/namespaces/default/rolebindings", binding)
        await server.create(CONFIGMAPS, configmap("a"), **JANE)
        await server.good("GET", CONFIGMAPS, **JANE)
        await server.refused(403, "GET", f"{RBAC}/namespaces/default/roles", **JANE)
        await server.refused(403, "GET", "/api/v1/nodes", **JANE)

    talk(conversation)


def test_can_i_tells_the_truth() -> None:
    async def conversation(server: Bench) -> None:
        await grant(server, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])

        async def can(**attributes: str) -> bool:
            review = {"spec": {"resourceAttributes": {"namespace": "default", "resource": "pods", **attributes}}}
            return bool((await server.create(ACCESS, review, **JANE))["status"]["allowed"])

        assert await can(verb="list")
        assert not await can(verb="get")
        assert not await can(verb="list", namespace="kube-system")
        rules = {"spec": {"namespace": "default"}}
        shown = await server.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules, **JANE)
        assert {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]} in shown["status"]["resourceRules"]
        other = {
            "spec": {"user": "jane", "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}
        }
        answer = await server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", other)
        assert answer["status"]["allowed"]
        await server.refused(403, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", other, **JANE)

    talk(conversation)


def test_acting_as_somebody_else_needs_permission_and_has_the_other_s_rights() -> None:
    async def conversation(server: Bench) -> None:
        as_jane = {"impersonate-user": "jane"}
        await server.refused(403, "GET", PODS, headers=as_jane)
        await server.good("GET", PODS, headers={**as_jane, "impersonate-group": "system:masters"})
        await server.refused(403, "GET", PODS, headers={"impersonate-user": "admin"}, **JANE)
        account = {"impersonate-user": "system:serviceaccount:default:bob"}
        me = await server.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=account)
        assert "system:serviceaccounts" in me["status"]["userInfo"]["groups"]

    talk(conversation)


def test_others_can_check_the_tokens_of_service_accounts() -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    async def conversation(server: Bench) -> None:
        account = await server.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
        token = server.tokens.sign(account, ["others"], 600, {})
        robot = {"token": server.tokens.sign(account, (), 600, {})}
        found = await server.get("/.well-known/openid-configuration", **robot)
        assert found["issuer"] == ISSUER
        assert found["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
        assert found["id_token_signing_alg_values_supported"] == ["ES256"]
        reply = await server.good("GET", "/openid/v1/jwks", **robot)
        assert reply.headers["content-type"] == "application/jwk-set+json"
        claims = jwt.decode(token, KeySet.import_key_set(reply.json()), algorithms=["ES256"]).claims
        assert (claims["iss"], claims["sub"]) == (ISSUER, "system:serviceaccount:default:robot")
        await server.refused(401, "GET", "/openid/v1/jwks", token="")
        await server.refused(403, "GET", "/openid/v1/jwks", **JANE)

    talk(conversation)


def test_a_token_whose_signature_was_checked_before_still_expires_and_dies_with_its_account() -> None:
    async def conversation(server: Bench) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        account = await server.create(accounts, {"metadata": {"name": "robot"}})
        short, long = (server.tokens.sign(account, (), seconds, {}) for seconds in (600, 6000))
        for token in (short, long, short, long):
            assert (await server.send("GET", "/api", token=token)).code == 200
        server.clock.now += timedelta(seconds=601)
        assert (await server.send("GET", "/api", token=short)).code == 401
        assert (await server.send("GET", "/api", token=long)).code == 200
        await server.good("DELETE", f"{accounts}/robot")
        assert (await server.send("GET", "/api", token=long)).code == 401

    talk(conversation)


def test_no_more_tokens_are_remembered_than_there_is_room_for() -> None:
    async def conversation(server: Bench) -> None:
        account = await server.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
        first = server.tokens.sign(account, ["first"], 600, {})
        assert server.tokens.verify(first, ["first"]) is not None
        for number in range(1030):
            assert (
                server.tokens.verify(server.tokens.sign(account, [f"a{number}"], 600, {}), [f"a{number}"]) is not None
            )
        assert len(server.tokens._verified) <= 1024
        assert server.tokens.verify(first, ["first"]) is not None

    talk(conversation)

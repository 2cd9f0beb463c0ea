"""Nobody grants more than they have."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from apiserver_bed import Bench, bench

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
ROLES, BINDINGS = f"{RBAC}/namespaces/default/roles", f"{RBAC}/namespaces/default/rolebindings"
JANE = {"token": "jane-token"}


WRITES = {"apiGroups": [GROUP], "resources": ["roles", "rolebindings"], "verbs": ["create", "get", "patch", "update"]}


def talk(conversation: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with bench() as server:
            await server.create(f"{RBAC}/clusterroles", role("writer", WRITES))
            await server.create(BINDINGS, binding("writer", "writer"))
            await conversation(server)

    asyncio.run(whole())


def rule(group: str, resources: list[str], *verbs: str, **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs), **more}


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, to: str, kind: str = "ClusterRole", user: str = "jane") -> dict[str, Any]:
    subject = {"kind": "User", "name": user, "apiGroup": GROUP}
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": to},
        "subjects": [subject],
    }


async def grant(server: Bench, *rules: dict[str, Any]) -> None:
    """Give jane these rules in the namespace, as an administrator."""
    await server.create(ROLES, role("granted", *rules))
    await server.create(BINDINGS, binding("granted", "granted", "Role"))


def test_a_role_may_have_no_rules_that_its_writer_does_not_have() -> None:
    async def conversation(server: Bench) -> None:
        wanted = role("r", rule("", ["pods"], "get", "list"))
        refused = await server.refused(403, "POST", ROLES, wanted, **JANE)
        assert refused["message"] == (
            'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["developers" '
            '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
            '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'
        )
        await grant(server, rule("", ["pods"], "get"), rule("", ["pods"], "list", "watch"))
        await server.create(ROLES, wanted, **JANE)
        wider = {"rules": [rule("", ["pods"], "*")]}
        reply = await server.patch(f"{ROLES}/r", wider, **JANE)
        assert reply.code == 403
        assert (await server.patch(f"{ROLES}/r", {"metadata": {"labels": {"a": "b"}}}, **JANE)).code == 200
        await server.good("POST", ROLES, role("any", *wider["rules"]))

    talk(conversation)


def test_names_subresources_and_wildcards_count() -> None:
    async def conversation(server: Bench) -> None:
        await grant(server, rule("", ["pods", "*/status"], "get", resourceNames=["a"]), rule("apps", ["*"], "get"))

        async def may(*rules: dict[str, Any]) -> bool:
            return (await server.send("POST", f"{ROLES}?dryRun=All", role("r", *rules), **JANE)).code == 201

        assert await may(rule("", ["pods"], "get", resourceNames=["a"]))
        assert not await may(rule("", ["pods"], "get", resourceNames=["a", "b"]))
        assert not await may(rule("", ["pods"], "get"))
        assert await may(rule("", ["services/status"], "get", resourceNames=["a"]))
        assert not await may(rule("", ["services"], "get", resourceNames=["a"]))
        assert await may(rule("apps", ["deployments", "deployments/scale"], "get"))
        assert await may(rule("apps", ["*"], "get"))
        assert not await may(rule("*", ["deployments"], "get"))
        assert not await may(rule("apps", ["deployments"], "*"))

    talk(conversation)


def test_a_role_may_be_bound_by_those_who_have_its_rules() -> None:
    async def conversation(server: Bench) -> None:
        refused = await server.refused(403, "POST", BINDINGS, binding("up", "cluster-admin"), **JANE)
        assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in refused["message"]
        assert '{NonResourceURLs:["*"], Verbs:["*"]}' in refused["message"]
        await server.refused(404, "POST", BINDINGS, binding("none", "none", "Role"), **JANE)
        await server.create(ROLES, role("small", rule("", ["pods"], "get")))
        await server.refused(403, "POST", BINDINGS, binding("small", "small", "Role", "joe"), **JANE)
        await grant(server, rule("", ["pods"], "get"))
        await server.create(BINDINGS, binding("small", "small", "Role", "joe"), **JANE)

    talk(conversation)


def test_escalate_and_bind_are_verbs_of_their_own() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(ROLES, role("big", rule("", ["secrets"], "*")))
        await grant(server, WRITES)
        await server.refused(403, "POST", BINDINGS, binding("big", "big", "Role"), **JANE)
        more = [WRITES, rule(GROUP, ["roles"], "bind", resourceNames=["big"])]
        await server.patch(f"{ROLES}/granted", {"rules": more})
        await server.create(BINDINGS, binding("big", "big", "Role"), **JANE)
        await server.refused(403, "POST", BINDINGS, binding("up", "cluster-admin"), **JANE)
        await server.refused(403, "POST", ROLES, role("r", rule("", ["nodes"], "get")), **JANE)
        await server.patch(f"{ROLES}/granted", {"rules": [*more, rule(GROUP, ["roles"], "escalate")]})
        await server.create(ROLES, role("r", rule("", ["nodes"], "get")), **JANE)

    talk(conversation)


def test_roles_that_aggregate_need_everything() -> None:
    async def conversation(server: Bench) -> None:
        clusterroles = f"{RBAC}/clusterroles"
        await server.create(clusterroles, role("all-roles", rule(GROUP, ["clusterroles"], "create", "patch")))
        await server.create(f"{RBAC}/clusterrolebindings", binding("all-roles", "all-roles"))
        wanted = {**role("all"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
        refused = await server.refused(403, "POST", clusterroles, wanted, **JANE)
        assert refused["message"].endswith("must have cluster-admin privileges to use the aggregationRule")

    talk(conversation)

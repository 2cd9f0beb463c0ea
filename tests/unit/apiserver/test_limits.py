"""Limits of a namespace, as a client meets them: LimitRanges and ResourceQuotas."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, DEPLOYMENTS, PODS, SERVICES, Bench, bench, configmap, deployment, pod
from polling import until

from roadstead.api.resources import resource
from roadstead.apiserver.store import MemoryStore, StorageFailed

Conversation = Callable[[Bench], Coroutine[Any, Any, None]]
QUOTAS = resource("ResourceQuota").path("default")
LIMIT_RANGES = resource("LimitRange").path("default")
CLAIMS = resource("PersistentVolumeClaim").path("default")


def talk(conversation: Conversation, store: MemoryStore | None = None) -> None:
    async def whole() -> None:
        async with bench(store) as server:
            await conversation(server)

    asyncio.run(whole())


def quota(name: str = "small", *scopes: str, **hard: str) -> dict[str, Any]:
    named = {key.replace("__", "."): value for key, value in hard.items()}
    return {"metadata": {"name": name}, "spec": {"hard": named, **({"scopes": list(scopes)} if scopes else {})}}


def hungry(name: str, part: str = "requests", **resources: str) -> dict[str, Any]:
    made = pod(name)
    made["spec"]["containers"][0]["resources"] = {part: resources}
    return made


async def used(server: Bench, name: str = "small") -> dict[str, str]:
    found: dict[str, str] = (await server.get(f"{QUOTAS}/{name}")).get("status", {}).get("used", {})
    return found


async def until_used(server: Bench, expected: dict[str, str], name: str = "small") -> None:
    """Wait until a quota's status says what is used."""

    async def says_so() -> bool:
        return await used(server, name) == expected

    await until(says_so)


def test_what_exceeds_a_quota_is_refused_in_the_words_of_kubernetes() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(pods="2"))
        for name in ("a", "b"):
            await server.create(PODS, pod(name))
        refused = await server.refused(403, "POST", PODS, pod("c"))
        assert refused["message"] == (
            'pods "c" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'
        )
        assert (refused["reason"], refused["details"]) == ("Forbidden", {"name": "c", "kind": "pods"})
        await server.good("DELETE", f"{PODS}/a")
        await server.create(PODS, pod("c"))

    talk(conversation)


def test_all_that_is_exceeded_is_named_and_nothing_else() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(pods="1", services="1", requests__cpu="1500m", requests__memory="1Gi"))
        await server.create(PODS, hungry("a", cpu="1", memory="1Mi"))
        refused = await server.refused(403, "POST", PODS, hungry("b", cpu="600m", memory="1Mi"))
        assert refused["message"].endswith(
            "requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=1, limited: pods=1,requests.cpu=1500m"
        )

    talk(conversation)


def test_where_processors_are_limited_everybody_says_how_much_they_need() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(requests__cpu="1"))
        refused = await server.refused(403, "POST", PODS, pod("a"))
        assert refused["message"] == 'pods "a" is forbidden: failed quota: small: must specify requests.cpu for: main'

    talk(conversation)


def test_no_two_writers_are_given_the_same_room() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(pods="3"))
        replies = await asyncio.gather(*(server.send("POST", PODS, pod(f"p{number}")) for number in range(20)))
        assert sorted(reply.code for reply in replies) == [201] * 3 + [403] * 17
        await until_used(server, {"pods": "3"})

    talk(conversation)


def test_the_status_follows_what_comes_and_goes() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(PODS, hungry("early", cpu="250m"))
        hard = {"pods": "9", "requests__cpu": "4", "configmaps": "9"}
        made = quota(**hard)
        made["spec"]["hard"]["count/deployments.apps"] = "9"
        await server.create(QUOTAS, made)
        there = {"configmaps": "0", "count/deployments.apps": "0", "pods": "1", "requests.cpu": "250m"}
        await until_used(server, there)
        assert (await server.get(f"{QUOTAS}/small"))["status"]["hard"] == made["spec"]["hard"]
        await server.create(PODS, hungry("late", cpu="1"))
        await server.create(CONFIGMAPS, configmap("a"))
        await server.create(DEPLOYMENTS, deployment("web"))
        await until_used(
            server, {"configmaps": "1", "count/deployments.apps": "1", "pods": "2", "requests.cpu": "1250m"}
        )
        await server.patch(f"{PODS}/early/status", {"status": {"phase": "Succeeded"}})
        await server.good("DELETE", f"{CONFIGMAPS}/a")
        await until_used(server, {"configmaps": "0", "count/deployments.apps": "1", "pods": "1", "requests.cpu": "1"})
        await server.patch(f"{QUOTAS}/small", {"spec": {"hard": {"configmaps": None, "pods": "1"}}})
        await until_used(server, {"count/deployments.apps": "1", "pods": "1", "requests.cpu": "1"})
        await server.refused(403, "POST", PODS, hungry("more", cpu="1"))
        await server.good("DELETE", f"{QUOTAS}/small")
        await server.create(PODS, pod("more"))

    talk(conversation)


def test_scopes_say_which_pods_are_counted() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota("effortless", "BestEffort", pods="1"))
        await server.create(QUOTAS, quota("hurried", "Terminating", pods="1"))
        await server.create(PODS, pod("a"))
        assert "exceeded quota: effortless" in (await server.refused(403, "POST", PODS, pod("b")))["message"]
        await server.create(PODS, hungry("b", cpu="1"))
        short = hungry("short", cpu="1")
        short["spec"]["activeDeadlineSeconds"] = 60
        await server.create(PODS, short)
        reply = await server.patch(f"{PODS}/b", {"spec": {"activeDeadlineSeconds": 60}})
        assert "exceeded quota: hurried, requested: pods=1, used: pods=1, limited: pods=1" in reply.body.decode()

    talk(conversation)


def test_changes_that_need_more_are_held_to_quotas_too() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(services__nodeports="1", requests__storage="2Gi"))
        ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
        await server.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": ports}})
        reply = await server.patch(f"{SERVICES}/web", {"spec": {"type": "NodePort"}})
        assert "requested: services.nodeports=2, used: services.nodeports=0" in reply.body.decode()
        await server.good("PUT", f"{SERVICES}/web", {
            "metadata": {"name": "web"}, "spec": {"type": "NodePort", "ports": ports[:1]},
        })  # fmt: skip
        await server.patch(f"{SERVICES}/web", {"metadata": {"labels": {"a": "b"}}})
        await until_used(server, {"services.nodeports": "1", "requests.storage": "0"})

    talk(conversation)


def test_a_dry_run_is_held_to_quotas_and_takes_no_room() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(configmaps="1"))
        for name in ("a", "b"):
            await server.good("POST", f"{CONFIGMAPS}?dryRun=All", configmap(name))
        await server.create(CONFIGMAPS, configmap("a"))
        await server.refused(403, "POST", f"{CONFIGMAPS}?dryRun=All", configmap("b"))
        assert (await server.patch(f"{CONFIGMAPS}/c?fieldManager=me", configmap("c"), "apply")).code == 403

    talk(conversation)


class FullStore(MemoryStore):
    """A store whose disk is full when a test says so."""

    full = False

    async def put(self, location: Any, obj: Any) -> Any:
        if self.full:
            raise StorageFailed("no space left")
        return await super().put(location, obj)


def test_what_could_not_be_stored_takes_no_room() -> None:
    store = FullStore()

    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(configmaps="1"))
        await until_used(server, {"configmaps": "0"})
        store.full = True
        await server.refused(500, "POST", CONFIGMAPS, configmap("a"))
        store.full = False
        await server.create(CONFIGMAPS, configmap("b"))

    talk(conversation, store)


def test_quotas_are_known_again_after_a_restart() -> None:
    store = MemoryStore()

    async def before(server: Bench) -> None:
        await server.create(QUOTAS, quota(pods="1"))
        await server.create(PODS, pod("a"))

    async def after(server: Bench) -> None:
        await until_used(server, {"pods": "1"})
        await server.refused(403, "POST", PODS, pod("b"))

    talk(before, store)
    talk(after, store)


def test_a_quota_counts_quotas_itself_among_them() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(QUOTAS, quota(resourcequotas="1"))
        await until_used(server, {"resourcequotas": "1"})
        refused = await server.refused(403, "POST", QUOTAS, quota("more", pods="1"))
        assert "used: resourcequotas=1, limited: resourcequotas=1" in refused["message"]

    talk(conversation)


def limit_range(**item: Any) -> dict[str, Any]:
    return {"metadata": {"name": "bounds"}, "spec": {"limits": [{"type": "Container", **item}]}}


def test_a_limit_range_completes_new_pods_and_refuses_others() -> None:
    async def conversation(server: Bench) -> None:
        bounds = limit_range(default={"cpu": "500m"}, defaultRequest={"cpu": "100m"}, max={"cpu": "1"})
        await server.create(LIMIT_RANGES, bounds)
        made = await server.create(PODS, pod("a"))
        resources = made["spec"]["containers"][0]["resources"]
        assert resources == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
        assert made["status"]["qosClass"] == "Burstable"
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"].startswith("LimitRanger plugin set: cpu ")
        refused = await server.refused(403, "POST", PODS, hungry("b", "limits", cpu="2"))
        assert refused["message"] == ('pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2')

    talk(conversation)


def test_limit_range_and_quota_work_together() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(LIMIT_RANGES, limit_range(default={"cpu": "600m"}))
        await server.create(QUOTAS, quota(limits__cpu="1"))
        await server.create(PODS, pod("a"))
        refused = await server.refused(403, "POST", PODS, pod("b"))
        assert "requested: limits.cpu=600m, used: limits.cpu=600m, limited: limits.cpu=1" in refused["message"]

    talk(conversation)


def test_several_faults_are_told_at_once() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(LIMIT_RANGES, limit_range(maxLimitRequestRatio={"cpu": "2", "memory": "2"}))
        refused = await server.refused(403, "POST", PODS, pod("a"))
        ratio = "max limit to request ratio per Container is 2, but no request is specified or request is 0"
        assert refused["message"] == f'pods "a" is forbidden: [cpu {ratio}, memory {ratio}]'

    talk(conversation)


def test_claims_are_held_to_limit_ranges() -> None:
    async def conversation(server: Bench) -> None:
        item = {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}
        await server.create(LIMIT_RANGES, {"metadata": {"name": "bounds"}, "spec": {"limits": [item]}})
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
        refused = await server.refused(403, "POST", CLAIMS, {"metadata": {"name": "a"}, "spec": spec})
        assert "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi" in refused["message"]

    talk(conversation)


@pytest.mark.parametrize("spec", [None, {}, {"limits": None}, {"limits": [{"type": "Container"}]}])
def test_a_limit_range_that_says_nothing_limits_nothing(spec: Any) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(LIMIT_RANGES, {"metadata": {"name": "bounds"}, **({"spec": spec} if spec else {})})
        made = await server.create(PODS, pod("a"))
        assert made["spec"]["containers"][0]["resources"] == {}

    talk(conversation)

"""The accounts of quotas: what is used is what is there, whatever happened before."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import Forbidden
from roadstead.api.resources import resource
from roadstead.apiserver.admission.quotas import QUOTAS, Quotas
from roadstead.apiserver.store import Location, MemoryStore

POD = resource("Pod")
SMALL = Location(QUOTAS, "a", "small")


def quota(**hard):
    spec = {"hard": {name.replace("__", "."): value for name, value in hard.items()}, "scopes": ["NotTerminating"]}
    return {"metadata": {"name": "small", "namespace": "a"}, "spec": spec}


def pod(cpu="1", phase="Running", deadline=None):
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    spec = {"containers": containers, **({"activeDeadlineSeconds": deadline} if deadline else {})}
    return {"metadata": {}, "spec": spec, "status": {"phase": phase}}


def at(name, namespace="a"):
    return Location("pods", namespace, name)


def stated(quotas):
    account = quotas.account("a", "small")
    return {name: str(quantity) for name, quantity in account.used.items()} if account else None


PODS = st.builds(
    pod, st.sampled_from(["0", "250m", "1", "1500m"]), st.sampled_from(["Running", "Succeeded"]), st.none() | st.just(9)
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "a", "b"]), st.sampled_from("xyz"), st.none() | PODS) | st.just("quota"),
    max_size=12,
)


@settings(max_examples=60)
@given(STEPS)
def test_what_is_used_is_what_a_recount_finds(steps):
    async def whole():
        store = MemoryStore()
        quotas = Quotas(store)
        for step in steps:
            if step == "quota":
                await store.put(SMALL, quota(pods="9", requests__cpu="9"))
                continue
            namespace, name, obj = step
            location = at(name, namespace)
            if obj is not None:
                await store.put(location, obj)
            elif (record := store.get(location)) is not None:
                await store.delete(location, record.decode())
            assert stated(quotas) == stated(Quotas(store))

    asyncio.run(whole())


def test_what_is_reserved_counts_until_it_is_stored_or_given_up():
    async def whole():
        store = MemoryStore()
        quotas = Quotas(store)
        await store.put(SMALL, quota(pods="1"))
        with quotas.reserved(POD, at("x"), pod()):
            with (
                pytest.raises(Forbidden, match="requested: pods=1, used: pods=1, limited: pods=1"),
                quotas.reserved(POD, at("y"), pod()),
            ):
                pytest.fail("there is no room")
            assert stated(quotas) == {"pods": "0"}, "it is not used yet"
        with quotas.reserved(POD, at("y"), pod()):
            await store.put(at("y"), pod())
            assert str(quotas.account("a", "small").taken()["pods"]) == "1", "stored, it is no longer reserved"

    asyncio.run(whole())


def test_room_in_one_quota_is_given_back_if_another_has_none():
    async def whole():
        store = MemoryStore()
        quotas = Quotas(store)
        await store.put(SMALL, quota(pods="1"))
        await store.put(SMALL._replace(name="tiny"), {**quota(pods="0"), "metadata": {"name": "tiny"}})
        with pytest.raises(Forbidden, match="exceeded quota: tiny"), quotas.reserved(POD, at("x"), pod()):
            pytest.fail("there is no room")
        assert quotas.account("a", "small").taken()["pods"].number == 0

    asyncio.run(whole())


def test_only_namespaces_with_a_quota_have_an_account():
    async def whole():
        store = MemoryStore()
        quotas = Quotas(store)
        changes = []
        quotas.on_change = lambda *key: changes.append(key)
        await store.put(at("x"), pod())
        assert (quotas.names(), changes) == ([], [])
        await store.put(SMALL, quota(pods="1", example__x="3"))
        assert (quotas.names(), changes) == ([("a", "small")], [("a", "small")])
        await store.put(at("x", "b"), pod())
        await store.put(at("x"), pod(phase="Pending"))
        assert changes == [("a", "small")], "neither of these changes what is used"
        await store.delete(SMALL, quota())
        assert (quotas.names(), quotas.count("a")) == ([], 0)

    asyncio.run(whole())

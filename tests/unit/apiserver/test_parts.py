"""What a write left as it was is told from what it changed, by whose it is."""

import asyncio

from apiserver_bed import DEPLOYMENTS, PODS, bench, deployment, pod

from roadstead.apiserver.parts import fresh, keep_equal_parts


def test_all_of_a_new_object_is_fresh() -> None:
    assert fresh({"spec": {}, "data": 1}, None) == {"spec": {}, "data": 1}


def test_equal_parts_become_the_stored_ones() -> None:
    stored = {"spec": {"a": 1}, "status": {"b": 2}}
    changed = {"spec": {"a": 1}, "status": {"b": 3}, "more": {}}
    keep_equal_parts(changed, stored)
    assert changed["spec"] is stored["spec"]
    assert fresh(changed, stored) == {"status": {"b": 3}, "more": {}}


def test_what_only_python_holds_equal_is_not_stored() -> None:
    async def conversation() -> None:
        async with bench() as server:
            made = await server.create(DEPLOYMENTS, deployment("web"))
            assert made["spec"]["replicas"] == 1
            made["spec"]["replicas"] = True
            made["metadata"]["labels"] = {"a": "b"}
            await server.send("PUT", f"{DEPLOYMENTS}/web", made)
            stored = await server.get(f"{DEPLOYMENTS}/web")
            assert stored["spec"]["replicas"] is not True

    asyncio.run(conversation())


def test_a_patch_is_checked_where_it_changes_something() -> None:
    async def conversation() -> None:
        async with bench() as server:
            await server.create(PODS, pod("a"))
            for patch in ({"spec": {"nodeName": 3}}, {"metadata": {"labels": {"a": 1}}}, {"status": {"phase": []}}):
                path = f"{PODS}/a/status" if "status" in patch else f"{PODS}/a"
                assert (await server.patch(path, patch)).code in {400, 422}, patch
            ignored = await server.patch(f"{PODS}/a?fieldValidation=Strict", {"spec": {"nodeNam": "n"}})
            assert ignored.code == 422
            for patch in ({"top": 1}, {"spec": {"nodeNam": "n"}}):
                warned = await server.patch(f"{PODS}/a", patch)
                assert "unknown field" in warned.headers["warning"]
                assert "top" not in warned.json()
                assert "nodeNam" not in warned.json()["spec"]

    asyncio.run(conversation())

"""Whatever a client sends, the answer is a Status that blames the client, never a failure of the server."""

import asyncio
import copy
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, DEPLOYMENTS, PODS, SERVICES, bench, configmap, deployment, pod
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "a", "key"]), inner, max_size=2)
    ),
    max_leaves=4,
)
SERVICE = {
    "metadata": {"name": "web"},
    "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": 30080}]},
}
DEFINITION = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
CHANGES = [("PUT", "json"), ("PATCH", "merge-patch+json"), ("PATCH", "strategic-merge-patch+json")]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = [
    (PODS, pod("web", node="n1", labels={"a": "b"}, finalizers=["example.com/x"])),
    (DEPLOYMENTS, deployment("web")),
    (SERVICES, SERVICE),
    (CONFIGMAPS, configmap("web", x="1")),
    (DEFINITIONS, DEFINITION),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in inner for place in places(entry, (*path, key)))]


def replaced(obj: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(obj)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return changed


@pytest.mark.parametrize(("path", "obj"), OBJECTS, ids=[path.rsplit("/", 1)[1] for path, _ in OBJECTS])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_objects_of_any_shape_are_stored_or_refused(path: str, obj: dict[str, Any], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(obj)))
    wrong = replaced(obj, place, data.draw(ANYTHING))

    async def conversation() -> None:
        async with bench() as server:
            created = await server.send("POST", path, wrong)
            assert created.code < 500, (created.code, created.body, wrong)
            await server.send("POST", path, obj)
            one = f"{path}/{obj['metadata']['name']}"
            for method, kind in (
                ("PUT", "json"),
                ("PATCH", "merge-patch+json"),
                ("PATCH", "strategic-merge-patch+json"),
            ):
                changed = await server.send(method, one, wrong, content_type=f"application/{kind}")
                assert changed.code < 500, (method, changed.body, wrong)
            applied = await server.patch(f"{one}?fieldManager=m&force=true", wrong, "apply")
            assert applied.code < 500, (applied.body, wrong)
            listed = await server.send("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert listed.code == 200, listed.body
            assert (await server.send("DELETE", one, {"gracePeriodSeconds": 0})).code < 500

    asyncio.run(conversation())


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_queries_of_any_shape_are_answered(key: str, value: str) -> None:
    from urllib.parse import quote

    names = ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "timeoutSeconds", quote(key)]

    async def conversation() -> None:
        async with bench() as server:
            for name in names:
                reply = await server.send("GET", f"{PODS}?{name}={quote(value)}")
                assert reply.code < 500 or reply.code == 504, (name, value, reply.body)

    asyncio.run(conversation())

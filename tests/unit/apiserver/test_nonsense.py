"""Whatever a client sends, the answer is a Status that blames the client, never a failure of the server."""

import asyncio
import copy
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, DEPLOYMENTS, PODS, SERVICES, bench, configmap, deployment, pod
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.api.resources import BUILT_IN
from roadstead.apiserver.schemas.tables import definition_names, protobuf_messages

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
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=30)
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


DIRECTIVES = st.sampled_from([
    "$patch", "$retainKeys", "$setElementOrder/containers", "$setElementOrder/ports", "$deleteFromPrimitiveList/args",
    "$deleteFromPrimitiveList/finalizers", "spec", "template", "containers", "ports", "metadata", "labels", "name",
])  # fmt: skip
DIRECTED = st.recursive(
    st.none() | st.integers(-1, 9) | st.sampled_from(["delete", "replace", "merge", "main", "web", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(DIRECTIVES, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.sampled_from(["", "/", "/metadata", "/metadata/labels/a~1b", "/spec", "/spec/template/spec/containers/0",
                            "/spec/template/spec/containers/-", "/spec/replicas", "/status", "/kind", "/metadata/name",
                            "/metadata/managedFields/0/fieldsV1", "/spec/~2", "spec"])  # fmt: skip
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "?"]), "path": POINTERS},
        optional={"from": POINTERS, "value": ANYTHING | DIRECTED},
    ),
    max_size=4,
)
SEGMENTS = st.sampled_from([".", "f:spec", "f:replicas", "f:template", "f:containers",
                            'k:{"name":"main"}', "k:{}", "k:",
                            "k:nonsense", "v:5", "v:", "f:", "i:0", "", "x", "f:metadata", "f:labels"])  # fmt: skip
FIELD_SETS = st.recursive(st.just({}), lambda inner: st.dictionaries(SEGMENTS, inner, max_size=3), max_leaves=8)
MANAGED = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "manager": st.sampled_from(["m", "", "other"]) | st.integers(),
            "operation": st.sampled_from(["Apply", "Update", "", "?"]),
            "apiVersion": st.sampled_from(["apps/v1", "v1", "", "a/b/c"]),
            "time": st.sampled_from(["2026-01-01T00:00:00Z", "", "then"]),
            "fieldsType": st.sampled_from(["FieldsV1", "FieldsV2"]),
            "fieldsV1": FIELD_SETS | ANYTHING,
            "subresource": st.sampled_from(["", "status", "scale"]),
        },
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(operations=OPERATIONS, directed=DIRECTED)
def test_patches_of_any_sort_change_an_object_or_are_refused(operations: Any, directed: Any) -> None:
    async def conversation() -> None:
        async with bench() as server:
            await server.create(DEPLOYMENTS, deployment("web"))
            for kind, patch in (("json", operations), ("strategic-merge", directed), ("merge", directed)):
                reply = await server.patch(f"{DEPLOYMENTS}/web", patch, kind)
                assert reply.code < 500, (kind, reply.body, patch)
            assert (await server.send("GET", f"{DEPLOYMENTS}/web")).code == 200

    asyncio.run(conversation())


@settings(max_examples=60)
@given(managed=MANAGED)
def test_managed_fields_of_any_shape_harm_no_later_write(managed: Any) -> None:
    async def conversation() -> None:
        async with bench() as server:
            await server.create(DEPLOYMENTS, deployment("web"))
            one = f"{DEPLOYMENTS}/web"
            for body in ({"metadata": {"managedFields": managed}}, {"spec": {"replicas": 2}}):
                reply = await server.patch(one, body)
                assert reply.code < 500, (reply.body, managed)
            for query, replicas in (("fieldManager=m", 3), ("fieldManager=m&force=true", 4), ("fieldManager=n", 5)):
                applied = {**deployment("web", replicas), "apiVersion": "apps/v1", "kind": "Deployment"}
                reply = await server.patch(f"{one}?{query}", applied, "apply")
                assert reply.code < 500, (reply.body, managed)
            assert (await server.send("DELETE", one)).code < 500

    asyncio.run(conversation())


MESSAGES = sorted(kind for kind in definition_names() if definition_names()[kind] in protobuf_messages())


@settings(max_examples=100)
@given(kind=st.sampled_from(MESSAGES), body=st.binary(max_size=80), data=st.data())
def test_protobuf_bodies_of_any_shape_are_stored_or_refused(
    kind: tuple[str, str, str], body: bytes, data: st.DataObject
) -> None:
    group, version, name = kind
    served = [known for known in BUILT_IN if (known.group, known.version, known.kind) == kind]
    path = served[0].path("default") if served else data.draw(st.sampled_from([PODS, DEPLOYMENTS]))

    async def conversation() -> None:
        async with bench() as server:
            for raw in (envelope(f"{group}/{version}".lstrip("/"), name, body), b"k8s\0" + body):
                reply = await server.send("POST", path, raw, content_type="application/vnd.kubernetes.protobuf")
                assert reply.code < 500, (kind, body, reply.body)

    asyncio.run(conversation())


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    def part(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    return b"k8s\0" + part(1, part(1, api_version.encode()) + part(2, kind.encode())) + part(2, raw)


TERMS = st.sampled_from(
    ["a", "b/c", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", " ", "x.y/z", ">", "<", "1", "Ä", "\\"]
)


@settings(max_examples=100)
@given(st.lists(TERMS, max_size=8).map("".join))
def test_selectors_of_any_shape_choose_or_are_refused(text: str) -> None:
    from urllib.parse import quote

    async def conversation() -> None:
        async with bench() as server:
            await server.create(PODS, pod("web", labels={"a": "1"}))
            for name in ("labelSelector", "fieldSelector"):
                reply = await server.send("GET", f"{PODS}?{name}={quote(text)}")
                assert reply.code in {200, 400}, (name, text, reply.body)
                reply = await server.send("DELETE", f"{PODS}?{name}={quote(text)}&dryRun=All")
                assert reply.code in {200, 400}, (name, text, reply.body)

    asyncio.run(conversation())


@pytest.mark.parametrize(
    "text",
    [
        "data: {d: 2026-01-01}", "data: {1: x}", "data: !!set {a, b}", "data: {a: !!binary aGk=}", "data: {a: .inf}",
        "data: &a {b: *a}", "data: {a: 1:30}", "? [a]\n: b", "data: !!python/name:os.system", "a: b\n---\nc: d",
        "data: {~: x, true: y}", "null", "- a", "[" * 100_000, "data: {<<: {a: b}}", "data: {a: x, a: y}",
    ],
)  # fmt: skip
def test_yaml_of_any_shape_is_stored_or_refused(text: str) -> None:
    async def conversation() -> None:
        async with bench() as server:
            body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{text}\n".encode()
            reply = await server.send(
                "POST", f"{CONFIGMAPS}?fieldValidation=Strict", body, content_type="application/yaml"
            )
            assert reply.code < 500, reply.body
            reply = await server.patch(f"{CONFIGMAPS}/a?fieldManager=m&force=true", body, "apply")
            assert reply.code < 500, reply.body

    asyncio.run(conversation())

"""kubectl with kinds that a user brings: served at once, explained, validated, scaled, and gone with their objects."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver_bed import Kubectl, with_kubectl

pytestmark = pytest.mark.e2e

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["colour"],
            "properties": {
                "colour": {"type": "string", "description": "What it looks like.", "enum": ["red", "blue"]},
                "size": {"type": "integer", "default": 3, "minimum": 1},
                "replicas": {"type": "integer"},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    },
}


def definition(**schema: Any) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema or SCHEMA},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Colour", "type": "string", "jsonPath": ".spec.colour"}],
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def widget(name: str = "w", **spec: Any) -> dict[str, Any]:
    body = {"colour": "red", **spec}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": body}


def test_a_new_kind_is_served_at_once_with_all_that_its_definition_says(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(definition())
        await kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s")
        assert await kubectl.apply(widget()) == "widget.example.com/w created\n"
        assert await kubectl.apply(widget()) == "widget.example.com/w unchanged\n"
        assert await kubectl.apply(widget(colour="blue")) == "widget.example.com/w configured\n"
        assert await kubectl("get", "widget", "w", "-o", "jsonpath={.spec.size}") == "3"
        table = (await kubectl("get", "wd")).splitlines()
        assert [table[0].split(), table[1].split()] == [["NAME", "COLOUR"], ["w", "blue"]]
        assert "widget.example.com/w" in await kubectl("get", "all")
        assert "What it looks like." in await kubectl("explain", "widget.spec.colour")
        await kubectl("scale", "widget", "w", "--replicas=4")
        assert await kubectl("get", "widget", "w", "-o", "jsonpath={.spec.replicas} {.metadata.generation}") == "4 3"
        status = '{"status":{"replicas":4},"spec":{"size":9}}'
        await kubectl("patch", "widget", "w", "--subresource=status", "--type=merge", "-p", status)
        assert await kubectl("get", "widget", "w", "-o", "jsonpath={.status.replicas} {.spec.size}") == "4 3"
        refused = await kubectl.fails("patch", "widget", "w", "-p", "{}")
        assert "application/strategic-merge-patch+json is not supported" in refused or "415" in refused or refused
        await kubectl.apply(widget(size=7), options=["--server-side", "--force-conflicts"])

    with_kubectl(tmp_path, conversation)


def test_objects_are_held_to_the_schema(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(definition())
        for wrong, words in (
            (widget(colour="green"), 'spec.colour: Unsupported value: "green"'),
            (widget(size=0), "spec.size"),
            (widget(weight=1), 'unknown field "spec.weight"'),
        ):
            assert words in await kubectl.fails("apply", "-f", "-", stdin=yaml.safe_dump(wrong))

    with_kubectl(tmp_path, conversation)


def test_a_changed_schema_is_explained_anew(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(definition())
        assert "weight" not in await kubectl("explain", "widget.spec")
        wider = {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"weight": {"type": "string"}}}},
        }
        await kubectl.apply(definition(**wider))
        assert "weight" in await kubectl("explain", "widget.spec")

    with_kubectl(tmp_path, conversation)


def test_a_deleted_kind_takes_its_objects_along_and_waits_for_their_finalizers(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        held = widget("held")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await kubectl.apply(definition())
        await kubectl.apply(widget("free"), held)
        deleting = await kubectl.start("delete", "crd", "widgets.example.com")
        await kubectl("wait", "--for=delete", "widget/free", "--timeout=60s")
        assert deleting.returncode is None
        await kubectl("patch", "widget", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        async with asyncio.timeout(20):
            await deleting.communicate()
        assert deleting.returncode == 0
        assert "could not find the requested resource" in await kubectl.fails("get", "widgets")

    with_kubectl(tmp_path, conversation)


def test_two_definitions_that_want_one_name(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(definition())
        other = definition()
        other["metadata"]["name"] = "gadgets.example.com"
        other["spec"]["names"] |= {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}
        await kubectl.apply(other)
        condition = "jsonpath={.status.conditions[?(@.type=='NamesAccepted')].reason}"
        assert await kubectl("get", "crd", "gadgets.example.com", "-o", condition) == "ShortNamesConflict"
        assert "the server doesn't have a resource type" in await kubectl.fails("get", "gadgets")
        assert await kubectl("get", "wd", "-o", "name") == ""
        await kubectl("delete", "crd", "widgets.example.com")
        await kubectl("wait", "--for=condition=Established", "crd/gadgets.example.com", "--timeout=60s")
        assert await kubectl("get", "gadgets", "-o", "name") == ""

    with_kubectl(tmp_path, conversation)


def test_patterns_are_read_as_kubernetes_reads_them_and_cannot_keep_the_server_busy(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        hostile = {"type": "string", "pattern": r"^(\pL+\.?)+$"}
        spec = {"type": "object", "properties": {"colour": hostile}}
        await kubectl.apply(definition(type="object", properties={"spec": spec}))
        await kubectl.apply(widget("good", colour="été.rouge"))
        refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(widget("bad", colour="a" * 5000 + "!")))
        assert "spec.colour in body should match" in refused
        lookahead = definition(type="object", properties={"spec": {"type": "string", "pattern": "(?=a)"}})
        refused = await kubectl.fails("apply", "-f", "-", stdin=yaml.safe_dump(lookahead))
        assert "must be a valid regular expression, but isn't" in refused

    with_kubectl(tmp_path, conversation)


CONFORMANCE = Path(__file__).parents[1] / "conformance"


@pytest.fixture(scope="module")
def gateway_api() -> Path:
    """The Gateway API's own definitions, from the Go module that the conformance tests use, if they have fetched it."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed: the Gateway API's definitions are not here")
    fetch = [go, "mod", "download", "-json", "sigs.k8s.io/gateway-api"]
    offline = {**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run(fetch, cwd=CONFORMANCE, env=offline, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the Gateway API's module is not here: `go mod download` in tests/conformance fetches it")
    return Path(json.loads(done.stdout)["Dir"]) / "config" / "crd"


@pytest.mark.parametrize("channel", ["standard", "experimental"])
def test_the_gateway_apis_definitions_apply_as_they_are(tmp_path: Path, gateway_api: Path, channel: str) -> None:
    files = [
        path
        for path in sorted((gateway_api / channel).glob("*.yaml"))
        if "kind: CustomResourceDefinition" in path.read_text()
    ]
    assert len(files) > 5

    async def conversation(kubectl: Kubectl) -> None:
        await kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
        await kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        conditions = await kubectl("get", "crd", "-o", "jsonpath={.items[*].status.conditions[*].type}")
        assert "ValidationRulesEvaluated" not in conditions, "every rule is understood"
        assert "matches" in await kubectl("explain", "grpcroute.spec.rules")
        await kubectl.apply(grpc_route({"backendRefs": [{"name": "shop", "port": 80}]}))
        assert "shop" in await kubectl("get", "grpcroute", "shop", "-o", "yaml")
        refused = await kubectl.fails(
            "apply", "-f", "-", stdin=yaml.safe_dump(grpc_route({"matches": [{"method": {}}]}))
        )
        assert "One or both of 'service' or 'method' must be specified" in refused

    with_kubectl(tmp_path, conversation)


def grpc_route(rule: dict[str, Any]) -> dict[str, Any]:
    spec = {"parentRefs": [{"name": "edge"}], "rules": [rule]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
        "metadata": {"name": "shop", "namespace": "default"}, "spec": spec,
    }  # fmt: skip

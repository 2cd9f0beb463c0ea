import asyncio
from pathlib import Path

from scripted_server import scripted_server

from roadstead.client import ApiClient, Credentials
from roadstead.client.applying import apply_manifests, in_order
from roadstead.client.manifests import parse_manifest

MANIFEST = """\
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, namespace: nonsense}}
---
{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}}
---
{apiVersion: example.com/v1, kind: Gadget, metadata: {name: g}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop, managedFields: []}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: here}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: rules}}
"""


def documents():
    return parse_manifest(MANIFEST, Path("all.yaml")).documents


def test_each_kind_follows_what_it_needs():
    assert [document.object["kind"] for document in in_order(documents())] == [
        "Namespace",
        "Secret",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "Deployment",
        "Widget",
        "Gadget",
    ]


def run(handler):
    async def conversation():
        async with (
            scripted_server(handler) as server,
            ApiClient(server.url, Credentials(), user_agent="test") as client,
        ):
            results = [applied async for applied in apply_manifests(client, documents(), field_manager="me")]
            return server.seen, results

    return asyncio.run(conversation())


async def cluster(seen, answer):
    """The secret is there and stays as it is, the deployment is there and changes, the namespace is new."""
    name = seen.path.rsplit("/", 1)[1]
    if seen.path == "/apis/example.com/v1":
        resources = [{"name": "widgets", "kind": "Widget", "namespaced": True}, {"name": "widgets/status", "kind": "W"}]
        await answer.send({"resources": resources})
    elif name == "shop" and seen.method == "GET":
        await answer.send({"kind": "Status", "reason": "NotFound", "message": "no", "code": 404}, 404)
    elif name == "here":
        denied = {"kind": "Status", "reason": "Invalid", "code": 422, "message": "a policy denied it"}
        await answer.send({**denied, "details": {"causes": [{"message": "denied"}]}}, 422)
    elif name == "w":
        cause = {"field": "metadata.name", "message": "too short"}
        status = {"kind": "Status", "reason": "Invalid", "code": 422, "message": "bad", "details": {"causes": [cause]}}
        await answer.send(status, 422)
    else:
        version = "2" if name == "web" and seen.method == "PATCH" else "1"
        await answer.send({"metadata": {"name": name, "resourceVersion": version}})


def test_every_document_has_its_result_and_no_failure_stops_the_rest():
    seen, results = run(cluster)
    assert {applied.document.title: applied.outcome for applied in results} == {
        "Namespace nonsense/shop": "created",
        "Secret shop/s": "unchanged",
        "ValidatingAdmissionPolicy rules": "unchanged",
        "ValidatingAdmissionPolicyBinding here": "failed",
        "Deployment web": "configured",
        "Widget w": "failed",
        "Gadget g": "failed",
    }
    patches = {request.path: request.json()["metadata"] for request in seen if request.method == "PATCH"}
    assert patches["/api/v1/namespaces/shop"] == {"name": "shop"}
    assert patches["/api/v1/namespaces/shop/secrets/s"] == {"name": "s", "namespace": "shop"}
    assert patches["/apis/apps/v1/namespaces/default/deployments/web"] == {"name": "web", "namespace": "default"}


def test_failures_name_file_line_object_and_field():
    _, results = run(cluster)
    messages = [message for applied in results for message in applied.messages()]
    assert messages == [
        "all.yaml:11: ValidatingAdmissionPolicyBinding here: a policy denied it",
        "all.yaml:5: Widget w: metadata.name: too short",
        "all.yaml:7: Gadget g: the server serves no kind Gadget in example.com/v1; "
        "check both, or apply the CustomResourceDefinition first",
    ]

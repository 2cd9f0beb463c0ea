"""kubectl against the corners of the API: older documents, other versions of a kind, refusals in Kubernetes' words."""

import json
from pathlib import Path
from typing import Any

import pytest
from apiserver_bed import Kubectl, deployment, pod, with_kubectl

pytestmark = pytest.mark.e2e
GROUP = "rbac.authorization.k8s.io"
OLDER = "horizontalpodautoscalers.v1.autoscaling"


def widgets(**spec: Any) -> dict[str, Any]:
    properties = {"spec": {"type": "object", "description": "What a widget is to be.", "properties": spec}}
    schema = {"openAPIV3Schema": {"type": "object", "description": "A widget.", "properties": properties}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_explain_from_the_older_document(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        older = "--output=plaintext-openapiv2"
        whole = await kubectl("explain", "deployments", older)
        assert "KIND:     Deployment" in whole
        assert "spec\t<Object>" in whole
        field = await kubectl("explain", "deployments.spec.replicas", older)
        assert "FIELD:    replicas <integer>" in field
        await kubectl.apply(widgets(size={"type": "integer", "description": "How large."}))
        custom = await kubectl("explain", "widgets.spec.size", older)
        assert "FIELD:    size <integer>" in custom
        assert "How large." in custom
        assert "How large." in await kubectl("explain", "widgets.spec.size")
        assert "size\t<integer>" in await kubectl("explain", "widgets", "--recursive")

    with_kubectl(tmp_path, conversation)


def test_autoscalers_in_both_versions(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl.apply(deployment("web"))
        old = {
            "apiVersion": "autoscaling/v1",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 60,
            },
        }
        assert "created" in await kubectl.apply(old)
        assert "unchanged" in await kubectl.apply(old)
        shown = json.loads(await kubectl("get", OLDER, "web", "-o", "json"))
        assert shown["spec"]["targetCPUUtilizationPercentage"] == 60
        newer = json.loads(await kubectl("get", "hpa", "web", "-o", "json"))
        assert newer["apiVersion"] == "autoscaling/v2"
        assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
        assert "/60%" in await kubectl("get", OLDER)
        old["spec"]["targetCPUUtilizationPercentage"] = 70
        assert "configured" in await kubectl.apply(old)
        assert "/70%" in await kubectl("get", "hpa")
        assert "autoscaling/v1" in await kubectl("api-versions")
        served = await kubectl.apply(old, options=["--server-side", "--force-conflicts"])
        assert "serverside-applied" in served

    with_kubectl(tmp_path, conversation)


def test_refusals_in_the_words_of_kubernetes(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        import yaml

        wrong = deployment("web")
        wrong["spec"]["replicas"] = "three"
        refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(wrong))
        assert "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32" in refused
        assert "(BadRequest)" in refused
        wrong = deployment("web")
        wrong["spec"]["template"]["spec"] |= {
            "containers": [{"name": "Main", "image": "web", "securityContext": {"runAsUser": -1}}],
            "topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "Never"}],
        }
        refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(wrong))
        for path in (
            "spec.template.spec.containers[0].name",
            "spec.template.spec.containers[0].securityContext.runAsUser",
            "spec.template.spec.topologySpreadConstraints[0].maxSkew",
            "spec.template.spec.topologySpreadConstraints[0].whenUnsatisfiable",
        ):
            assert path in refused
        unknown = pod("web")
        unknown["spec"]["container"] = []
        refused = await kubectl.fails("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(unknown))
        assert ".spec.container: field not declared in schema" in refused
        refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(unknown))
        assert 'strict decoding error: unknown field "spec.container"' in refused

    with_kubectl(tmp_path, conversation)


def test_nobody_grants_more_than_they_have(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl("create", "rolebinding", "jane", "--clusterrole=admin", "--user=jane")
        jane = ("--context", "jane")
        await kubectl(*jane, "create", "role", "readers", "--verb=get,list", "--resource=pods")
        await kubectl(*jane, "create", "rolebinding", "readers", "--role=readers", "--user=joe")
        refused = await kubectl.fails(*jane, "create", "role", "nodes", "--verb=get", "--resource=nodes")
        assert "is attempting to grant RBAC permissions not currently held" in refused
        assert '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}' in refused
        refused = await kubectl.fails(
            *jane, "create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=jane"
        )
        assert "not currently held" in refused
        await kubectl("create", "role", "binder", "--verb=bind", f"--resource=clusterroles.{GROUP}")
        await kubectl("create", "rolebinding", "binder", "--role=binder", "--user=jane")
        await kubectl(*jane, "create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=joe")

    with_kubectl(tmp_path, conversation)


def test_the_keys_of_service_accounts(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        configuration = json.loads(await kubectl("get", "--raw", "/.well-known/openid-configuration"))
        assert configuration["issuer"].startswith("https://kubernetes.default.svc")
        keys = json.loads(await kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
        assert [key["alg"] for key in keys] == ["ES256"]

    with_kubectl(tmp_path, conversation)

"""kubectl and ValidatingAdmissionPolicies: applied, listed, explained, in force, and gone again."""

from pathlib import Path

import pytest
import yaml
from apiserver_bed import Kubectl, with_kubectl

pytestmark = pytest.mark.e2e

REPLICAS = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
      - apiGroups: [apps]
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [deployments, deployments/scale]
  variables:
    - {name: most, expression: "int(params.data.most)"}
  validations:
    - expression: object.spec.replicas <= variables.most
      messageExpression: "'no more than ' + string(variables.most) + ' replicas in ' + request.namespace"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas}
spec:
  policyName: replicas
  validationActions: [Deny]
  paramRef: {name: limits, namespace: default, parameterNotFoundAction: Deny}
  matchResources: {namespaceSelector: {matchLabels: {team: web}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: limits, namespace: default}
data: {most: "3"}
---
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {team: web}}
"""
# As the Gateway API guards its definitions: only newer ones of the same channel may take their place.
CHANNELS = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: channels.example.com}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [apiextensions.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: ["*"]}
  validations:
    - expression: >-
        object.spec.group != 'example.com' || oldObject == null || (has(object.metadata.annotations) &&
        object.metadata.annotations.exists(k, k == 'example.com/channel') &&
        object.metadata.annotations['example.com/channel'] == 'standard')
      message: the standard channel stays
    - expression: >-
        object.spec.group != 'example.com' ||
        !matches(object.metadata.annotations['example.com/version'], 'v1.[0-4].\\\\d+')
      message: versions before v1.5.0 are too old
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: channels.example.com}
spec: {policyName: channels.example.com, validationActions: [Deny]}
"""


def deployment(name: str, replicas: int) -> dict[str, object]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "web"}, "spec": spec
    }  # fmt: skip


def definition(plural: str, channel: str, version: str) -> dict[str, object]:
    annotations = {"example.com/channel": channel, "example.com/version": version}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].capitalize()}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com", "annotations": annotations},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions},
    }


def test_a_policy_with_parameters_holds_where_it_is_bound(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        await kubectl("apply", "-f", "-", stdin=REPLICAS)
        assert (await kubectl("get", "validatingadmissionpolicies", "replicas")).split()[:7] == [
            "NAME", "VALIDATIONS", "PARAMKIND", "AGE", "replicas", "1", "v1/ConfigMap",
        ]  # fmt: skip
        shown = await kubectl("get", "validatingadmissionpolicybinding", "replicas")
        assert shown.split()[4:7] == ["replicas", "replicas", "default/limits"]
        await kubectl.apply(deployment("small", 3))
        refused = await kubectl.fails("apply", "-f", "-", stdin=yaml.safe_dump(deployment("big", 4)))
        assert "ValidatingAdmissionPolicy 'replicas' with binding 'replicas' denied request: " in refused
        assert "no more than 3 replicas in web" in refused
        assert "no more than 3" in await kubectl.fails("scale", "deployment/small", "-n", "web", "--replicas=4")
        assert "no more than 3" in await kubectl.fails(
            "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(deployment("big", 4))
        )
        await kubectl("patch", "configmap", "limits", "-p", '{"data": {"most": "4"}}')
        await kubectl("scale", "deployment/small", "-n", "web", "--replicas=4")
        await kubectl("delete", "validatingadmissionpolicybinding", "replicas")
        await kubectl("scale", "deployment/small", "-n", "web", "--replicas=9")

    with_kubectl(tmp_path, conversation)


def test_a_bundle_of_definitions_comes_with_the_policy_that_guards_it(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        standard = definition("widgets", "standard", "v1.6.0")
        bundle = "---\n".join([yaml.safe_dump(standard), CHANNELS])
        await kubectl("apply", "--server-side", "-f", "-", stdin=bundle)
        await kubectl("apply", "--server-side", "-f", "-", stdin=bundle)
        other = yaml.safe_dump(definition("widgets", "experimental", "v1.6.0"))
        assert "the standard channel stays" in await kubectl.fails("apply", "--server-side", "-f", "-", stdin=other)
        old = yaml.safe_dump(definition("gadgets", "standard", "v1.4.1"))
        assert "versions before v1.5.0 are too old" in await kubectl.fails("apply", "-f", "-", stdin=old)
        await kubectl("delete", "validatingadmissionpolicybinding", "channels.example.com")
        await kubectl("apply", "--server-side", "-f", "-", stdin=other)

    with_kubectl(tmp_path, conversation)


def test_a_policy_that_makes_no_sense_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    async def conversation(kubectl: Kubectl) -> None:
        wrong = REPLICAS.replace("object.spec.replicas <=", "objekt.spec.replicas <=").replace("CREATE,", "CREAT,")
        refused = await kubectl.fails("apply", "-f", "-", stdin=wrong)
        assert "spec.validations[0].expression: Invalid value" in refused
        assert "compilation failed: undeclared reference to 'objekt'" in refused
        assert 'spec.matchConstraints.resourceRules[0].operations[0]: Unsupported value: "CREAT"' in refused

    with_kubectl(tmp_path, conversation)

import pytest

from roadstead.api.resources import Resource, resource
from roadstead.apiserver.admission.policies.matching import Surroundings, version_seen
from roadstead.apiserver.admission.policies.request import AdmissionRequest
from roadstead.apiserver.calls import User

DEPLOYMENTS = resource("Deployment")
NAMESPACES = resource("Namespace")
SCALERS = resource("HorizontalPodAutoscaler", "autoscaling/v1")
NEWER_SCALERS = resource("HorizontalPodAutoscaler", "autoscaling/v2")


def a_request(
    kind: Resource = DEPLOYMENTS, *, operation="CREATE", subresource="", name="web", labels=None, old_labels=None
) -> AdmissionRequest:
    new = None if operation == "DELETE" else {"metadata": {"name": name, "labels": labels or {}}}
    old = None if operation == "CREATE" else {"metadata": {"name": name, "labels": old_labels or {}}}
    namespace = "shop" if kind.namespaced else ""
    return AdmissionRequest(operation, kind, subresource, namespace, name, new, old, User("jane"), {}, False)


def a_rule(**changes):
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    return {**rule, **changes}


def seen(wanted, request=None, *, versions=None, namespace_labels=None) -> Resource | None:
    request = request or a_request()
    return version_seen(wanted, request, Surroundings(versions or (request.resource,), namespace_labels))


@pytest.mark.parametrize(
    ("rule", "request_", "matches"),
    [
        (a_rule(), a_request(), True),
        (a_rule(operations=["UPDATE", "DELETE"]), a_request(), False),
        (a_rule(operations=["*"]), a_request(operation="DELETE"), True),
        (a_rule(apiGroups=[""]), a_request(), False),
        (a_rule(apiGroups=["*"], apiVersions=["*"], resources=["*"]), a_request(), True),
        (a_rule(apiVersions=["v1beta1"]), a_request(), False),
        (a_rule(resources=["pods"]), a_request(), False),
        (a_rule(resources=["deployments/scale"]), a_request(), False),
        (a_rule(resources=["*"]), a_request(subresource="scale"), False),
        (a_rule(resources=["deployments/*"]), a_request(subresource="scale"), True),
        (a_rule(resources=["*/scale"]), a_request(subresource="scale"), True),
        (a_rule(resources=["*/*"]), a_request(), True),
        (a_rule(resourceNames=["api", "web"]), a_request(), True),
        (a_rule(resourceNames=["api"]), a_request(), False),
        (a_rule(scope="Namespaced"), a_request(), True),
        (a_rule(scope="Cluster"), a_request(), False),
        (a_rule(apiGroups=[""], resources=["namespaces"], scope="Cluster"), a_request(NAMESPACES), True),
        (a_rule(apiGroups=[""], resources=["namespaces"], scope="Namespaced"), a_request(NAMESPACES), False),
    ],
)
def test_rules(rule, request_, matches):
    assert (seen({"resourceRules": [rule]}, request_) is not None) is matches


def test_a_binding_without_rules_is_about_everything():
    assert seen({}) is DEPLOYMENTS


def test_what_is_excluded_is_not_matched_whatever_else_says_so():
    assert seen({"resourceRules": [a_rule()], "excludeResourceRules": [a_rule(resourceNames=["web"])]}) is None


def test_a_rule_about_one_version_sees_what_is_written_in_another():
    rules = [a_rule(apiGroups=["autoscaling"], apiVersions=["v2"], resources=["horizontalpodautoscalers"])]
    request, versions = a_request(SCALERS), (SCALERS, NEWER_SCALERS)
    assert seen({"resourceRules": rules, "matchPolicy": "Equivalent"}, request, versions=versions) is NEWER_SCALERS
    assert seen({"resourceRules": rules, "matchPolicy": "Exact"}, request, versions=versions) is None


def test_the_version_that_was_written_comes_first():
    rules = [a_rule(apiGroups=["autoscaling"], apiVersions=["*"], resources=["*"])]
    assert seen({"resourceRules": rules}, a_request(SCALERS), versions=(SCALERS, NEWER_SCALERS)) is SCALERS


def test_the_namespaces_labels_select():
    wanted = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    assert seen(wanted, namespace_labels={"env": "prod"})
    assert not seen(wanted, namespace_labels={"env": "test"})
    assert seen(wanted, namespace_labels=None), "what is in no namespace is never exempted"


@pytest.mark.parametrize(
    ("request_", "matches"),
    [
        (a_request(labels={"tier": "web"}), True),
        (a_request(labels={"tier": "db"}), False),
        (a_request(operation="UPDATE", labels={}, old_labels={"tier": "web"}), True),
        (a_request(operation="DELETE", old_labels={"tier": "web"}), True),
        (a_request(operation="DELETE"), False),
    ],
)
def test_the_objects_labels_select_before_or_after_the_change(request_, matches):
    wanted = {"objectSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}}
    assert (seen(wanted, request_) is not None) is matches

"""What objects count for in quotas, and in which."""

import pytest

from roadstead.apiserver.admission.quota_usage import Scope, collection_counted, in_scope, scopes_of, unstated, usage
from roadstead.apiserver.admission.resource_lists import printed


def pod(phase="Pending", **spec):
    return {"spec": {"containers": [{"name": "a"}], **spec}, "status": {"phase": phase}}


def resources(**parts):
    return {"containers": [{"name": "a", "resources": parts}]}


def counted(collection, obj):
    found = usage(collection, obj)
    return printed(found, found)


@pytest.mark.parametrize(
    ("collection", "obj", "expected"),
    [
        ("pods", pod(), "count/pods=1,pods=1"),
        ("pods", pod("Succeeded"), "count/pods=1"),
        ("pods", pod("Failed"), "count/pods=1"),
        (
            "pods",
            pod(**resources(requests={"cpu": "1", "example.com/gpu": "2"}, limits={"memory": "1Gi"})),
            "count/pods=1,cpu=1,limits.memory=1Gi,pods=1,requests.cpu=1,requests.example.com/gpu=2",
        ),
        (
            "pods",
            pod(**resources(requests={"hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"})),
            "count/pods=1,ephemeral-storage=1Gi,hugepages-2Mi=4Mi,pods=1,requests.ephemeral-storage=1Gi,"
            "requests.hugepages-2Mi=4Mi",
        ),
        (
            "services",
            {"spec": {"ports": [{"port": 80}]}},
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0",
        ),
        (
            "services",
            {"spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}},
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            "services",
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            "services",
            {
                "spec": {
                    "type": "LoadBalancer",
                    "allocateLoadBalancerNodePorts": False,
                    "ports": [{"port": 80}, {"port": 81, "nodePort": 30081}],
                }
            },
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1Gi",
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}},
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
            "gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi",
        ),
        ("secrets", {}, "count/secrets=1,secrets=1"),
        ("deployments.apps", {}, "count/deployments.apps=1"),
    ],
)
def test_objects_count_for(collection, obj, expected):
    assert counted(collection, obj) == expected


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        ("pods", "pods"),
        ("limits.cpu", "pods"),
        ("requests.example.com/gpu", "pods"),
        ("requests.hugepages-2Mi", "pods"),
        ("services.nodeports", "services"),
        ("requests.storage", "persistentvolumeclaims"),
        ("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
        ("configmaps", "configmaps"),
        ("count/widgets.example.com", "widgets.example.com"),
        ("example.com/gpu", ""),
    ],
)
def test_the_name_of_a_resource_says_what_counts(name, collection):
    assert collection_counted(name) == collection


ELSEWHERE = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}}
ANYWHERE = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"namespaceSelector": {}}}]
    }
}


@pytest.mark.parametrize(
    ("obj", "names"),
    [
        (pod(), "BestEffort NotTerminating"),
        (pod(**resources(limits={"cpu": "1"})), "NotBestEffort NotTerminating"),
        (pod(activeDeadlineSeconds=5), "BestEffort Terminating"),
        (pod(priorityClassName="high"), "BestEffort NotTerminating PriorityClass"),
        (pod(affinity=ELSEWHERE), "BestEffort CrossNamespacePodAffinity NotTerminating"),
        (pod(affinity=ANYWHERE), "BestEffort CrossNamespacePodAffinity NotTerminating"),
    ],
)
def test_pods_are_in_scopes(obj, names):
    every = "BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating Nonsense"
    assert [name for name in every.split() if in_scope("pods", obj, [Scope(name)])] == names.split()
    assert not in_scope("secrets", {}, [Scope("NotTerminating")]), "only pods are in any"
    assert in_scope("secrets", {}, [])


@pytest.mark.parametrize(
    ("operator", "values", "matching"),
    [
        ("In", ["high"], ["high"]),
        ("NotIn", ["high"], ["low", ""]),
        ("Exists", [], ["high", "low"]),
        ("DoesNotExist", [], [""]),
    ],
)
def test_priorities_are_selected(operator, values, matching):
    term = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    scopes = scopes_of({"spec": {"scopeSelector": {"matchExpressions": [term]}}})
    pods = {name: pod(priorityClassName=name) for name in ("high", "low", "")}
    assert [name for name, obj in pods.items() if in_scope("pods", obj, scopes)] == matching


def test_whoever_is_held_to_processors_and_memory_must_say_how_much():
    limited = ["pods", "requests.cpu", "limits.memory", "requests.example.com/gpu"]
    assert unstated(pod(), limited) == "must specify limits.memory for: a; requests.cpu for: a"
    stated = pod(**resources(requests={"cpu": "1"}, limits={"memory": "1Gi"}))
    assert unstated(stated, limited) == ""
    stated["spec"]["initContainers"] = [{"name": "c"}, {"name": "b"}]
    assert unstated(stated, limited) == "must specify limits.memory for: b,c; requests.cpu for: b,c"
    assert unstated(pod(resources={"limits": {"cpu": "1"}}), limited) == "", "the pod as a whole says it"

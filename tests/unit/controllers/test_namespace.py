from fake_cluster import FakeCluster, named

from roadstead.api.objects import ObjectKey
from roadstead.controllers.catalog import ClusterFacts, all_controllers

CONTROLLERS = [
    entry
    for entry in all_controllers(ClusterFacts("PEM"))
    if entry.name in ("namespace-controller", "serviceaccount-controller", "deployment-controller")
]
WIDGETS = named(
    "CustomResourceDefinition",
    "widgets.example.com",
    spec={
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True}, {"name": "v2", "served": True}],
    },
    status={"conditions": [{"type": "Established", "status": "True"}]},
)


def shop(*extra):
    cluster = FakeCluster(*CONTROLLERS)
    cluster.create(named("Namespace", "shop", spec={"finalizers": ["kubernetes", *extra]}, status={"phase": "Active"}))
    cluster.settle()
    return cluster


def test_a_new_namespace_has_an_account_and_the_ca():
    cluster = shop()
    assert cluster.get("ServiceAccount", ObjectKey("shop", "default"))
    assert cluster.get("ConfigMap", ObjectKey("shop", "kube-root-ca.crt"))["data"] == {"ca.crt": "PEM"}


def test_they_come_back_when_somebody_removes_or_changes_them():
    cluster = shop()
    cluster.delete("ServiceAccount", "default", "shop")
    cluster.patch("ConfigMap", ObjectKey("shop", "kube-root-ca.crt"), {"data": {"ca.crt": "forged", "more": "x"}})
    cluster.settle()
    assert cluster.get("ServiceAccount", ObjectKey("shop", "default"))
    assert cluster.get("ConfigMap", ObjectKey("shop", "kube-root-ca.crt"))["data"]["ca.crt"] == "PEM"


def test_all_in_it_goes_before_it_goes():
    cluster = shop()
    cluster.create(WIDGETS)
    cluster.create({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop"}})
    cluster.create(named("Secret", "s", "shop"))
    cluster.create(named("Secret", "s", "elsewhere"))
    cluster.create(named("Pod", "p", "shop", spec={"nodeName": "n"}))
    cluster.delete("Namespace", "shop")
    cluster.settle()
    assert [len(cluster.in_namespace(kind, "shop")) for kind in ("Secret", "Widget", "ServiceAccount", "Pod")] == [
        0,
        0,
        0,
        1,
    ]
    assert cluster.get("Namespace", ObjectKey("", "shop"))
    cluster.end("p", "shop")
    cluster.settle()
    assert cluster.get("Namespace", ObjectKey("", "shop")) is None
    assert len(cluster.in_namespace("Secret", "elsewhere")) == 1


def test_it_waits_for_finalizers_of_kinds_that_nobody_watches():
    cluster = shop()
    cluster.create(named("Secret", "held", "shop", metadata={"finalizers": ["mine"]}))
    cluster.delete("Namespace", "shop")
    cluster.settle()
    assert cluster.get("Namespace", ObjectKey("", "shop"))
    cluster.patch("Secret", ObjectKey("shop", "held"), {"metadata": {"finalizers": None}})
    cluster.pass_time(1)
    assert cluster.get("Namespace", ObjectKey("", "shop")) is None


def test_other_finalizers_of_the_namespace_stay():
    cluster = shop("theirs")
    cluster.delete("Namespace", "shop")
    cluster.settle()
    assert cluster.get("Namespace", ObjectKey("", "shop"))["spec"]["finalizers"] == ["theirs"]

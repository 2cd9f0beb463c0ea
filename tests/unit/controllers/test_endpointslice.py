import pytest
from fake_cluster import merge, named

from roadstead.controllers.actions import Create, Delete, Patch
from roadstead.controllers.endpointslice import Observed, plan


def service(**spec):
    spec = {"selector": {"app": "web"}, "ports": [{"name": "grpc", "port": 80, "targetPort": "grpc"}], **spec}
    return named("Service", "web", metadata={"uid": "uid-web", "labels": {"team": "shop"}}, spec=spec)


def pod(name, *, ready=True, port=50051, ip="10.0.0.1", labels=None, phase="Running", **more):
    spec = {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "grpc", "containerPort": port}]}]}
    spec.update(more.pop("spec", {}))
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "conditions": conditions, **({"podIP": ip} if ip else {})}
    about = {"uid": f"uid-{name}", "labels": labels or {"app": "web"}, **more.pop("metadata", {})}
    return named("Pod", name, metadata=about, spec=spec, status=status)


def slices(made, pods):
    actions = plan(Observed(made, pods, []))
    assert all(isinstance(action, Create) for action in actions)
    return [action.object for action in actions]


def ending(name, **more):
    return pod(name, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}, **more)


def conditions(made, *pods):
    (slice_,) = slices(made, pods)
    return [tuple(endpoint["conditions"].values()) for endpoint in slice_["endpoints"]]


def test_a_slice_names_its_service_its_ports_and_its_pods():
    (slice_,) = slices(service(), [pod("b", ip="10.0.0.2"), pod("a")])
    assert slice_["metadata"].pop("name").startswith("web-")
    assert slice_ == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "labels": {
                "team": "shop",
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": "web",
                    "uid": "uid-web",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.0.0.{number}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {"kind": "Pod", "name": name, "namespace": "default", "uid": f"uid-{name}"},
                "nodeName": "n",
            }
            for number, name in ((1, "a"), (2, "b"))
        ],
        "ports": [{"name": "grpc", "port": 50051, "protocol": "TCP"}],
    }


def test_ready_serving_and_terminating():
    pods = [pod("a"), pod("b", ready=False), ending("c"), ending("d", ready=False)]
    assert conditions(service(), *pods) == [
        (True, True, False),
        (False, False, False),
        (False, True, True),
        (False, False, True),
    ]
    assert [ready for ready, _, _ in conditions(service(publishNotReadyAddresses=True), *pods)] == [True] * 4


@pytest.mark.parametrize(
    "absent", [pod("a", ip=""), pod("a", phase="Succeeded"), pod("a", phase="Failed"), pod("a", labels={"app": "x"})]
)
def test_pods_without_an_endpoint_leave_an_empty_slice(absent):
    (slice_,) = slices(service(), [absent])
    assert (slice_["endpoints"], slice_["ports"]) == ([], None)


def test_pods_that_resolve_a_port_differently_are_in_different_slices():
    found = slices(service(), [pod("a"), pod("b", port=9)])
    assert sorted(entry["ports"][0]["port"] for entry in found) == [9, 50051]
    assert len({entry["metadata"]["name"] for entry in found}) == 2


@pytest.mark.parametrize(
    ("port", "numbers"),
    [
        ({"port": 80}, [80]),
        ({"port": 80, "targetPort": 8080}, [8080]),
        ({"port": 80, "targetPort": "8080"}, [8080]),
        ({"port": 80, "targetPort": "grpc"}, [50051]),
        ({"port": 80, "targetPort": "grpc", "protocol": "UDP"}, []),
        ({"port": 80, "targetPort": "unknown"}, []),
    ],
)
def test_target_ports(port, numbers):
    (slice_,) = slices(service(ports=[port]), [pod("a")])
    assert [entry["port"] for entry in slice_["ports"] or ()] == numbers


def test_the_application_protocol_is_passed_on():
    (slice_,) = slices(service(ports=[{"port": 80, "appProtocol": "kubernetes.io/h2c"}]), [pod("a")])
    assert slice_["ports"] == [{"name": "", "port": 80, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}]


def test_a_headless_service_says_so_and_names_hosts():
    made = service(clusterIP="None")
    (slice_,) = slices(made, [pod("a", spec={"hostname": "a-0", "subdomain": "web"})])
    assert slice_["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert slice_["endpoints"][0]["hostname"] == "a-0"


def test_a_hundred_endpoints_fill_a_slice():
    assert sorted(len(entry["endpoints"]) for entry in slices(service(), [pod(f"p{n:03}") for n in range(230)])) == [
        30,
        100,
        100,
    ]


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName"}])
def test_services_that_select_nothing_are_left_alone(spec):
    assert plan(Observed(service(**spec), [pod("a")], [])) == []


def test_only_differences_are_written_and_surplus_slices_go_last():
    (before,) = slices(service(), [pod("a"), pod("b")])
    assert plan(Observed(service(), [pod("a"), pod("b")], [before])) == []
    (change,) = plan(Observed(service(), [pod("a"), pod("b", ready=False)], [before]))
    assert isinstance(change, Patch)
    (after,) = slices(service(), [pod("a"), pod("b", ready=False)])
    assert merge(before, change.patch) == after
    actions = plan(Observed(service(), [pod("a", port=7)], [before]))
    assert [type(action) for action in actions] == [Create, Delete]


def test_slices_of_others_are_not_touched():
    (made,) = slices(service(), [])
    made["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "somebody"
    made["metadata"]["name"] = "hand-made"
    assert [type(action) for action in plan(Observed(service(), [pod("a")], [made]))] == [Create]


def test_labels_follow_the_service():
    (before,) = slices(service(), [pod("a")])
    renamed = service()
    renamed["metadata"]["labels"] = {"team": "other"}
    (change,) = plan(Observed(renamed, [pod("a")], [before]))
    assert change.patch["metadata"]["labels"]["team"] == "other"

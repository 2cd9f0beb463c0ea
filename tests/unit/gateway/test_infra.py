"""The objects that run a proxy."""

import msgspec
import pytest
import yaml

from roadstead.gateway import ir
from roadstead.gateway.infra import InfraSettings, objects_for, short_name

SETTINGS = InfraSettings("/var/lib/roadstead/devops/xds/xds.sock")


def proxy(name="example-gateway", **workload):
    owner = ir.Owner("gateway.networking.k8s.io/v1", "Gateway", "user-platform", name, "1234")
    listeners = (
        ir.Listener("http-80", 80, 10080, "HTTP", ()),
        ir.Listener("https-8443", 8443, 8443, "HTTPS", ()),
    )
    whole = {"labels": (("team", "users"),), "annotations": (("cost", "low"),), "owner": owner} | workload
    return ir.Proxy(ir.gateway_proxy_key("user-platform", name), ir.Workload("user-platform", name, **whole), listeners)


def by_kind(made):
    return {each["kind"]: each for each in made}


def test_all_objects_of_a_gateway(golden):
    golden("infra", objects_for(proxy(), SETTINGS))


def test_a_proxy_without_listeners_needs_nothing():
    assert objects_for(msgspec.structs.replace(proxy(), listeners=()), SETTINGS) == []


def test_the_proxy_of_ingresses_has_no_owner_and_no_gateway_name():
    for each in objects_for(proxy(owner=None), SETTINGS):
        assert "ownerReferences" not in each["metadata"]
        assert "gateway.networking.k8s.io/gateway-name" not in each["metadata"]["labels"]


def test_infrastructure_labels_and_annotations_are_everywhere():
    made = objects_for(proxy(), SETTINGS)
    for metadata in [each["metadata"] for each in made] + [made[1]["spec"]["template"]["metadata"]]:
        assert metadata["labels"]["team"] == "users"
        assert metadata["labels"]["gateway.networking.k8s.io/gateway-name"] == "example-gateway"
        assert metadata["annotations"]["cost"] == "low"


def test_a_users_label_cannot_take_the_selectors_place():
    made = by_kind(objects_for(proxy(labels=(("roadstead.dev/proxy", "mine"),)), SETTINGS))
    selector = made["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selector == made["Service"]["spec"]["selector"] == {"roadstead.dev/proxy": "example-gateway"}
    assert selector.items() <= made["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


def test_the_longest_gateway_name_gives_names_and_labels_that_fit():
    name = "a" * 250 + ".b"
    for each in objects_for(proxy(name), SETTINGS):
        assert len(each["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway", "gateway"),
        ("a" * 63, "a" * 63),
        ("a.b", "a-b-31d1e1bc"),
        ("a" * 64, "a" * 54 + "-e4a7aadc"),
        ("1a", "gateway-1a-93260772"),
    ],
)
def test_short_name(name, expected):
    assert short_name(name) == expected


def test_names_that_differ_stay_different():
    names = ["a.b", "a-b", "a.b.", "x" * 63, "x" * 64, "x" * 65, "1x", "gateway-1x"]
    assert len({short_name(name) for name in names}) == len(names)


def container(made):
    return by_kind(made)["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def bootstrap(made):
    arguments = container(made)["args"]
    return yaml.safe_load(arguments[arguments.index("--config-yaml") + 1])


def test_a_remote_control_plane_is_dialled_by_name_and_mounts_nothing():
    made = objects_for(proxy(), InfraSettings("roadstead.roadstead-system.svc:18000"))
    cluster = bootstrap(made)["static_resources"]["clusters"][0]
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    assert address == {"socket_address": {"address": "roadstead.roadstead-system.svc", "port_value": 18000}}
    assert cluster["type"] == "STRICT_DNS"
    volumes = by_kind(made)["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert [each["name"] for each in volumes] == ["drain"]
    assert [each["name"] for each in container(made)["volumeMounts"]] == ["drain"]


def test_a_pod_ends_when_its_clients_have_left_within_its_grace():
    spec = by_kind(objects_for(proxy(), SETTINGS))["Deployment"]["spec"]["template"]["spec"]
    (hook,) = spec["containers"][0]["lifecycle"]["preStop"].values()
    command = hook["command"]
    assert command[:3] == ["python", "-m", "roadstead.gateway.drain"]
    assert int(command[command.index("--within") + 1]) < spec["terminationGracePeriodSeconds"]
    variables = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    assert variables["DRAIN_FOLDER"] == spec["containers"][0]["volumeMounts"][0]["mountPath"]


def test_without_a_program_to_drain_it_a_pod_waits_for_a_fixed_time():
    made = objects_for(proxy(), msgspec.structs.replace(SETTINGS, drain_program=()))
    assert container(made)["lifecycle"] == {"preStop": {"sleep": {"seconds": 3}}}


def test_where_pods_share_a_network_envoy_binds_its_own_address_and_has_no_admin_interface():
    made = bootstrap(objects_for(proxy(), msgspec.structs.replace(SETTINGS, bind_pod_address=True)))
    assert "admin" not in made
    assert [each["name"] for each in made["static_resources"]["clusters"]] == ["roadstead-xds", "roadstead-reflection"]
    metadata = {name: value for name, value in made["node"]["metadata"].items() if name != "reflection"}
    assert metadata == {"bind": "$(POD_IP)", "ready_port": 19003, "statistics": False, "access_log": True}


def test_a_changed_listener_does_not_restart_envoy():
    one, other = proxy(), msgspec.structs.replace(proxy(), listeners=proxy().listeners[:1])
    before, after = by_kind(objects_for(one, SETTINGS)), by_kind(objects_for(other, SETTINGS))
    assert before["Deployment"] == after["Deployment"]
    assert before["Service"] != after["Service"]


def test_workers_and_a_wished_address_are_passed_on():
    made = by_kind(objects_for(proxy(addresses=("127.1.0.5",)), msgspec.structs.replace(SETTINGS, concurrency=2)))
    assert made["Service"]["spec"]["loadBalancerIP"] == "127.1.0.5"
    arguments = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--concurrency") + 1] == "2"


def test_parameters_go_before_the_settings_of_all():
    parameters = ir.Parameters(
        replicas=3,
        concurrency=2,
        drain_seconds=300,
        access_log=False,
        log_level="debug",
        image="registry.example.com/envoy:2",
        resources='{"limits": {"memory": "1Gi"}}',
        scheduling=(("nodeSelector", '{"disk": "fast"}'), ("priorityClassName", "high")),
    )
    made = objects_for(proxy(parameters=parameters), SETTINGS)
    spec = by_kind(made)["Deployment"]["spec"]
    pod, envoy = spec["template"]["spec"], container(made)
    assert spec["replicas"] == 3
    assert (pod["nodeSelector"], pod["priorityClassName"]) == ({"disk": "fast"}, "high")
    assert pod["terminationGracePeriodSeconds"] == 300
    assert envoy["image"] == "registry.example.com/envoy:2"
    assert envoy["resources"] == {"limits": {"memory": "1Gi"}}
    assert envoy["args"][envoy["args"].index("--concurrency") + 1] == "2"
    assert envoy["args"][envoy["args"].index("--log-level") + 1] == "debug"
    assert bootstrap(made)["node"]["metadata"]["access_log"] is False
    hook = envoy["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[hook.index("--within") + 1] == "298"


def test_whoever_scales_the_deployment_decides_where_no_replicas_are_stated():
    assert "replicas" not in by_kind(objects_for(proxy(), SETTINGS))["Deployment"]["spec"]


def test_parameters_that_mean_nothing_leave_the_deployment_as_it_is():
    assert set(by_kind(objects_for(proxy(parameters=None), SETTINGS))) == {"ServiceAccount", "Service"}

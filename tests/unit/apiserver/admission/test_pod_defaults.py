import pytest

from roadstead.apiserver.admission.pod_defaults import fill_in_pod, pull_policy


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1.0", "IfNotPresent"),
        ("registry.example.com:5000/web", "Always"),
        ("registry.example.com:5000/web:1.0", "IfNotPresent"),
        ("web@sha256:abc", "IfNotPresent"),
        ("web:latest@sha256:abc", "Always"),
    ],
)
def test_an_image_is_pulled_always_if_its_tag_can_move(image, policy):
    assert pull_policy(image) == policy


def test_ports_on_the_hosts_network_are_the_hosts_ports():
    pod = {"spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 80}]}]}}
    fill_in_pod(pod)
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_the_address_and_the_list_of_addresses_agree():
    for status in ({"podIP": "10.0.0.1"}, {"podIPs": [{"ip": "10.0.0.1"}]}):
        pod = {"spec": {"containers": []}, "status": status}
        fill_in_pod(pod)
        assert pod["status"] == {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}


def test_a_volume_without_a_source_is_an_empty_directory():
    pod = {"spec": {"containers": [], "volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}]}}
    fill_in_pod(pod)
    assert pod["spec"]["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "secret": {"secretName": "s", "defaultMode": 0o644}},
    ]

"""What a kind configuration means here, and what of it has no effect."""

import pytest

from roadstead.cluster.configuration import ConfigurationError, PortMapping
from roadstead.cluster.kind import read_kind_configuration

HEADER = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"


def read(tmp_path, text: str):
    path = tmp_path / "cluster-config.yaml"
    path.write_text(HEADER + text)
    return read_kind_configuration(path)


def test_name_networks_and_ports_are_taken(tmp_path) -> None:
    configuration, warnings = read(
        tmp_path,
        """
name: devops
networking: {podSubnet: 10.1.0.0/16, serviceSubnet: 10.2.0.0/16, disableDefaultCNI: true}
nodes:
- role: control-plane
  extraPortMappings: [{containerPort: 30443, hostPort: 8443}]
""",
    )
    assert (configuration.name, configuration.pod_cidr, configuration.service_cidr) == (
        "devops", "10.1.0.0/16", "10.2.0.0/16",
    )  # fmt: skip
    assert configuration.port_mappings == (PortMapping(30443, 8443),)
    assert warnings == []


def test_what_one_machine_cannot_give_is_named(tmp_path) -> None:
    _, warnings = read(
        tmp_path, "nodes:\n- {role: control-plane, image: node:v1}\n- {role: worker}\nfeatureGates: {A: true}\n"
    )
    path = tmp_path / "cluster-config.yaml"
    assert warnings == [
        f"{path}: nodes: 2 are listed; a machine's own cluster has one node, which takes all pods",
        f"{path}: nodes[0].image has no effect: there is no node container",
        f"{path}: featureGates has no effect",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: Dev_Ops\n", "cluster name 'Dev_Ops'"),
        ("networking: {podSubnet: 10.1.0.0}\nname: [a]\n", "name"),
        ("networking: {podSubnet: ten}\n", "podSubnet 'ten' is not an IPv4 range"),
        ("networking: {podSubnet: 10.0.0.0/8, serviceSubnet: 10.96.0.0/16}\n", "overlap"),
        ("networking: {apiServerAddress: 0.0.0.0}\n", "apiServerAddress 0.0.0.0 is not a loopback address"),
        ("nodes: [{extraPortMappings: [{containerPort: many, hostPort: 1}]}]\n", "containerPort"),
        ("nodes: 3\n", "nodes: expected a list"),
        ("nodes: [worker]\n", "nodes: expected a list of mappings"),
        ("name: [\n", "cannot be read"),
    ],
)
def test_a_mistake_names_file_and_field(tmp_path, text, message) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "cluster-config.yaml") in str(caught.value)


def test_another_kind_of_document_is_refused(tmp_path) -> None:
    path = tmp_path / "deployment.yaml"
    path.write_text("kind: Deployment\n")
    with pytest.raises(ConfigurationError, match="expected `kind: Cluster`"):
        read_kind_configuration(path)

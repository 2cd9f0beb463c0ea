"""Reads the configuration files of kind, so that what a team has keeps working.

What a single machine without containers cannot give (several nodes, node images, kubeadm patches) is no error: each
comes back as a warning that names the field. Reference: kind's pkg/apis/config/v1alpha4/types.go.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from roadstead.cluster.configuration import ClusterConfiguration, ConfigurationError, PortMapping, checked
from roadstead.lib.yaml_depth import load_yaml

_HONOURED = {"kind", "apiVersion", "name", "networking", "nodes"}
_NETWORKING = {"podSubnet": "pod_cidr", "serviceSubnet": "service_cidr", "apiServerPort": "api_port",
               "apiServerAddress": "api_address"}  # fmt: skip
_HARMLESS_NETWORKING = {"disableDefaultCNI", "kubeProxyMode", "ipFamily", "dnsSearch"}


def read_kind_configuration(path: Path) -> tuple[ClusterConfiguration, list[str]]:
    """Return the configuration in a file and what of it has no effect here, a sentence each.

    Raises ConfigurationError that names the file and the field.
    """
    try:
        document = load_yaml(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != "Cluster":
        raise ConfigurationError(f"{path}: expected `kind: Cluster` with `apiVersion: kind.x-k8s.io/v1alpha4`")
    try:
        settings, mappings = _networking(document), tuple(_port_mappings(document))
        configuration = msgspec.convert(
            {**settings, **({"name": document["name"]} if "name" in document else {})}, ClusterConfiguration
        )
        configuration = checked(msgspec.structs.replace(configuration, port_mappings=mappings))
    except (ConfigurationError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return configuration, [f"{path}: {warning}" for warning in _without_effect(document)]


def _networking(document: Mapping[str, Any]) -> dict[str, Any]:
    networking = document.get("networking") or {}
    if not isinstance(networking, dict):
        raise ConfigurationError("networking: expected a mapping")
    return {ours: networking[theirs] for theirs, ours in _NETWORKING.items() if theirs in networking}


def _nodes(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes = document.get("nodes") or []
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ConfigurationError("nodes: expected a list of mappings, such as `- role: control-plane`")
    return nodes


def _port_mappings(document: Mapping[str, Any]) -> Iterator[PortMapping]:
    for node in _nodes(document):
        for mapping in node.get("extraPortMappings") or []:
            yield msgspec.convert(mapping, PortMapping)


def _without_effect(document: Mapping[str, Any]) -> Iterator[str]:
    nodes = _nodes(document)
    if len(nodes) > 1:
        yield f"nodes: {len(nodes)} are listed; a machine's own cluster has one node, which takes all pods"
    for index, node in enumerate(nodes):
        for field in sorted(set(node) - {"role", "extraPortMappings"}):
            yield f"nodes[{index}].{field} has no effect: there is no node container"
    for field in sorted(set(document.get("networking") or {}) - set(_NETWORKING) - _HARMLESS_NETWORKING):
        yield f"networking.{field} is not known and has no effect"
    for field in sorted(set(document) - _HONOURED):
        yield f"{field} has no effect"

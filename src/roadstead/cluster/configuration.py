"""What a cluster should be: the few settings that are not objects in its API.

They come from defaults, from a kind configuration (`kind`), or from the command line, and are written to the
cluster's folder, where the supervisor reads them. Next: `layout`.
"""

import ipaddress
import re
from pathlib import Path
from typing import Literal

import msgspec

DEFAULT_NAME = "roadstead"
Isolation = Literal["auto", "namespaces", "none"]
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class PortMapping(msgspec.Struct, frozen=True, rename="camel"):
    """A port of the node that is opened on the host (kind's `extraPortMappings`); `container_port` is a NodePort."""

    container_port: int
    host_port: int
    listen_address: str = "127.0.0.1"


class ClusterConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one cluster.

    `isolation` is `namespaces`, `none`, or `auto`: namespaces where the machine has them. `api_port` 0 means any
    free port. `project` is the `roadstead.toml` that says what images run, or empty.
    """

    name: str = DEFAULT_NAME
    isolation: Isolation = "auto"
    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    api_address: str = "127.0.0.1"
    api_port: int = 0
    port_mappings: tuple[PortMapping, ...] = ()
    project: str = ""


class ConfigurationError(ValueError):
    """A setting that cannot be used; the message names it and the remedy."""


def checked(configuration: ClusterConfiguration) -> ClusterConfiguration:
    """Return the configuration if a cluster can be made of it. Raises ConfigurationError."""
    if not _NAME.fullmatch(configuration.name):
        raise ConfigurationError(
            f"cluster name {configuration.name!r}: use lower-case letters, digits and dashes, at most 40 characters"
        )
    pods = _network("podSubnet", configuration.pod_cidr)
    services = _network("serviceSubnet", configuration.service_cidr)
    if pods.overlaps(services):
        raise ConfigurationError(f"podSubnet {pods} and serviceSubnet {services} overlap: give them separate ranges")
    if not ipaddress.ip_address(configuration.api_address).is_loopback:
        raise ConfigurationError(
            f"apiServerAddress {configuration.api_address} is not a loopback address: "
            "the API server of a machine's own cluster listens on 127.0.0.1 only"
        )
    return configuration


def _network(field: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ConfigurationError(f"{field} {text!r} is not an IPv4 range such as 10.244.0.0/16 ({error})") from error


def read(path: Path) -> ClusterConfiguration:
    """Read what `write` wrote. Raises ConfigurationError that names the file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterConfiguration)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{path} cannot be read as a cluster's configuration: {error}") from error


def write(configuration: ClusterConfiguration, path: Path) -> None:
    """Write the configuration where the supervisor reads it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(configuration), indent=2) + b"\n")

"""The types of CEL, as values: `type(self.port) == int`.

What JSON has no type for is what it looks like: every integer is an `int`, and `uint` is the type of none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from roadstead.apiserver.cel import addresses
from roadstead.apiserver.cel.functions import NoOverload
from roadstead.apiserver.cel.optionals import Optional
from roadstead.apiserver.cel.semvers import Version
from roadstead.apiserver.cel.urls import Url


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of CEL."""

    name: str


_OF: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "bool"),  # before int, of which Python makes it a kind
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "list"),
    (dict, "map"),
    (type(None), "null_type"),
    (Kind, "type"),
    (Optional, "optional_type"),
    (datetime, "google.protobuf.Timestamp"),
    (timedelta, "google.protobuf.Duration"),
    (Decimal, "kubernetes.Quantity"),
    (Version, "kubernetes.Semver"),
    (Url, "kubernetes.URL"),
)
KINDS = {name: Kind(name) for _, name in _OF if not name.startswith("kubernetes.")} | {"uint": Kind("uint")}
"""What expressions may name."""


def kind_of(value: Any) -> Kind:
    """Return the type of a value. Raises NoOverload for one that has none here."""
    if addresses.is_network(value):
        return Kind("net.CIDR")
    if addresses.is_address(value):
        return Kind("net.IP")
    for python_type, name in _OF:
        if isinstance(value, python_type):
            return Kind(name)
    raise NoOverload


FUNCTIONS: dict[str, Callable[..., Any]] = {"type": kind_of}

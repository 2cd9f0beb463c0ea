"""What in a NetworkPolicy has no effect here, field by field, and what to do about it. Pure.

`compile` reads such a field as "nobody": safe, and silent. Whoever shows policies to people (events, `check`) says it.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.node.policy.compile import NOTHING, selector

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def problems(policy: ReadOnlyObject) -> list[str]:
    """Return one sentence for each field that selects nobody because it cannot be read, with its path."""
    spec = policy.get("spec") or {}
    found = list(_selector("spec.podSelector", spec.get("podSelector")))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for path, rule in _items(f"spec.{direction}", spec.get(direction)):
            for place, peer in _items(f"{path}.{peers}", rule.get(peers)):
                found += _peer(place, peer)
            for place, port in _items(f"{path}.ports", rule.get("ports")):
                found += _port(place, port)
    return found


def _items(path: str, listed: Sequence[Mapping[str, Any]] | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, item in enumerate(listed or ()):
        yield f"{path}[{number}]", item or {}


def _peer(path: str, peer: Mapping[str, Any]) -> Iterator[str]:
    block = peer.get("ipBlock")
    if block:
        yield from _block(f"{path}.ipBlock", block)
    elif peer.get("podSelector") is None and peer.get("namespaceSelector") is None:
        yield f"{path}: selects nobody; give it a podSelector, a namespaceSelector or an ipBlock"
    for field in ("podSelector", "namespaceSelector"):
        yield from _selector(f"{path}.{field}", peer.get(field))


def _block(path: str, block: Mapping[str, Any]) -> Iterator[str]:
    whole = _network(block.get("cidr"))
    if whole is None:
        yield f"{path}.cidr: {block.get('cidr')!r} is not an address range such as 10.0.0.0/24; it selects nobody"
        return
    if whole.version == 6:
        yield f"{path}.cidr: {block['cidr']} is IPv6; this network is IPv4 only, so it selects nobody"
        return
    for number, text in enumerate(block.get("except") or ()):
        gap = _network(text)
        if gap is None or gap.version != whole.version or not _lies_in(gap, whole):
            yield f"{path}.except[{number}]: {text!r} is no range within {block['cidr']}; it excludes nothing"


def _network(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _lies_in(gap: Any, whole: Any) -> bool:
    return bool(gap.subnet_of(whole))


def _selector(path: str, value: Mapping[str, Any] | None) -> Iterator[str]:
    if value is None:
        return
    if selector(value) is NOTHING:
        yield f"{path}: cannot be read as a label selector; it selects nobody"
        return
    for place, term in _items(f"{path}.matchExpressions", value.get("matchExpressions")):
        if term["operator"] not in _OPERATORS:
            known = ", ".join(_OPERATORS)
            yield f"{place}.operator: {term['operator']!r} is not one of {known}; the selector selects nobody"


def _port(path: str, port: Mapping[str, Any]) -> Iterator[str]:
    protocol, number, end = port.get("protocol") or "TCP", port.get("port"), port.get("endPort")
    if protocol not in _PROTOCOLS:
        yield f"{path}.protocol: {protocol!r} is not one of {', '.join(_PROTOCOLS)}; it allows no port"
    if isinstance(number, int) and not 0 < number < 1 << 16:
        yield f"{path}.port: {number} is not a port (1 to 65535); it allows no port"
    if end is not None and not (isinstance(number, int) and isinstance(end, int) and number <= end < 1 << 16):
        yield f"{path}.endPort: {end!r} must be a number from port ({number!r}) to 65535; it allows no port"

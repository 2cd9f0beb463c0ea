"""NetworkPolicies, pods and namespaces become a `PolicyTable`. Pure; next comes `rules`.

What cannot be read (an address block with a typo, an unknown operator) selects nobody, so a mistake closes and never
opens. Semantics: networking/v1 types.go; where that is silent, what the upstream suites expect.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from roadstead.api.objects import ObjectKey, ReadOnlyObject, key_of, labels_of
from roadstead.api.selectors import LabelSelector, Requirement, label_selector_from
from roadstead.node.network.services import is_ipv4
from roadstead.node.policy.table import (
    AddressRange,
    Isolation,
    Policy,
    PolicyTable,
    PortAddress,
    PortRange,
    Rule,
)

NOTHING = LabelSelector((Requirement("", "Exists"),))
_DIRECTIONS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_LAST_PORT = 65535


class _Pod(NamedTuple):
    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: tuple[tuple[str, str, int], ...]
    """Named ports: name, protocol, number."""


class _PodPeer(NamedTuple):
    """A peer that selects pods. `namespace` is the policy's own, or None with a namespace selector."""

    namespace: str | None
    namespaces: LabelSelector | None
    pods: LabelSelector


def compile_policies(
    pods: Iterable[ReadOnlyObject],
    namespaces: Iterable[ReadOnlyObject],
    policies: Iterable[ReadOnlyObject],
    addresses: Mapping[ObjectKey, str] | None = None,
) -> PolicyTable:
    """Return what the policies mean for these pods.

    `addresses` gives addresses of pods that `status.podIP` does not know yet: a pod is admitted (its table applied)
    before its first process starts, so before its status is written. Pods without an address, on the host's network,
    or that have ended are left out.
    """
    return PolicyCompiler().compile(pods, namespaces, policies, addresses)


class _Compiled(NamedTuple):
    """A policy as it was read: what it isolates, whom its rules name, and the rules."""

    source: ReadOnlyObject
    namespace: str
    targets: LabelSelector
    peers: Mapping[str, _PodPeer]
    policy: Policy


class PolicyCompiler:
    """`compile_policies` again and again: a policy that is the same object as last time is not read again.

    So an informer's objects, which are replaced and never changed, cost only what depends on pods.
    """

    def __init__(self) -> None:
        self._compiled: dict[str, _Compiled] = {}

    def compile(
        self,
        pods: Iterable[ReadOnlyObject],
        namespaces: Iterable[ReadOnlyObject],
        policies: Iterable[ReadOnlyObject],
        addresses: Mapping[ObjectKey, str] | None = None,
    ) -> PolicyTable:
        """Return what the policies mean for these pods, as `compile_policies` does."""
        known = _pods(pods, addresses or {})
        labels = {key_of(namespace).name: labels_of(namespace) for namespace in namespaces}
        by_name = {str(key_of(policy)): policy for policy in policies}
        self._compiled = {name: self._read(name, policy) for name, policy in sorted(by_name.items())}
        peers = {key: peer for entry in self._compiled.values() for key, peer in entry.peers.items()}
        ports = {key for entry in self._compiled.values() for key in _named_ports(entry.policy)}
        return PolicyTable(
            groups={key: _members(peer, known, labels) for key, peer in peers.items()},
            named_ports={key: _port_addresses(key, known) for key in sorted(ports)},
            policies={name: entry.policy for name, entry in self._compiled.items()},
            isolated=_isolated(self._compiled, known),
        )

    def _read(self, name: str, policy: ReadOnlyObject) -> _Compiled:
        before = self._compiled.get(name)
        if before is not None and before.source is policy:
            return before
        peers: dict[str, _PodPeer] = {}
        rules = _policy(name, policy, peers)
        # A missing podSelector selects every pod of the namespace.
        targets = selector((policy.get("spec") or {}).get("podSelector") or {})
        return _Compiled(policy, key_of(policy).namespace, targets, peers, rules)


def is_filtered(pod: ReadOnlyObject) -> bool:
    """Say whether policies see this pod: not on the host's network, and not over."""
    on_host = (pod.get("spec") or {}).get("hostNetwork")
    return not on_host and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def policy_directions(policy: ReadOnlyObject) -> frozenset[str]:
    """Return the directions that a policy isolates: `Ingress`, `Egress`, or both.

    Without `policyTypes`: ingress always, egress if there are egress rules.
    """
    spec = policy.get("spec") or {}
    stated = spec.get("policyTypes")
    if stated:
        return frozenset(stated) & frozenset(_DIRECTIONS)
    return frozenset(("Ingress", "Egress") if spec.get("egress") else ("Ingress",))


def selector(value: Mapping[str, Any] | None) -> LabelSelector:
    """Read a label selector; one that is malformed selects nothing."""
    try:
        return label_selector_from(value)
    except (KeyError, TypeError, AttributeError):
        return NOTHING


def block_ranges(block: Mapping[str, Any]) -> list[AddressRange]:
    """Return the IPv4 addresses of one `ipBlock`: its `cidr` without its `except`s."""
    ranges = _network(block.get("cidr"))
    for excluded in block.get("except") or ():
        for first, last in _network(excluded):
            ranges = [piece for whole in ranges for piece in _without(whole, first, last)]
    return ranges


def _network(text: Any) -> list[AddressRange]:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return []
    return [(int(network.network_address), int(network.broadcast_address))]


def _without(whole: AddressRange, first: int, last: int) -> Iterator[AddressRange]:
    low, high = whole
    if last < low or first > high:
        yield whole
        return
    if low < first:
        yield low, first - 1
    if last < high:
        yield last + 1, high


def _pods(objects: Iterable[ReadOnlyObject], addresses: Mapping[ObjectKey, str]) -> list[_Pod]:
    owners = {address: key for key, address in addresses.items()}
    pods = []
    for obj in objects:
        key = key_of(obj)
        address = addresses.get(key) or (obj.get("status") or {}).get("podIP")
        # A status may name an address that another pod has by now: then it is the status that is out of date.
        if is_ipv4(address) and owners.get(address, key) == key and is_filtered(obj):
            pods.append(_Pod(key.namespace, labels_of(obj), address, tuple(_container_ports(obj))))
    return pods


def _container_ports(obj: ReadOnlyObject) -> Iterator[tuple[str, str, int]]:
    for container in (obj.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name"):
                yield port["name"], port.get("protocol") or "TCP", port["containerPort"]


def _policy(name: str, policy: ReadOnlyObject, peers: dict[str, _PodPeer]) -> Policy:
    """Return the policy's rules, and add the peers that they name to `peers`."""
    directions, namespace = policy_directions(policy), key_of(policy).namespace
    compiled: dict[str, tuple[Rule, ...]] = {}
    for direction, (field, peer_field) in _DIRECTIONS.items():
        if direction in directions:
            listed = (policy.get("spec") or {}).get(field) or ()
            compiled[field] = tuple(
                _rule(f"{name} {field}[{number}]", namespace, rule or {}, peer_field, peers)
                for number, rule in enumerate(listed)
            )
    return Policy(**compiled)


def _rule(name: str, namespace: str, rule: Mapping[str, Any], peer_field: str, peers: dict[str, _PodPeer]) -> Rule:
    groups: tuple[str, ...] | None = None
    blocks: tuple[AddressRange, ...] | None = None
    if rule.get(peer_field):
        selected = dict(_pod_peer(peer, namespace) for peer in rule[peer_field] if not peer.get("ipBlock"))
        peers.update(selected)
        groups = tuple(sorted(selected))
        blocks = _merged(
            span for peer in rule[peer_field] if peer.get("ipBlock") for span in block_ranges(peer["ipBlock"])
        )
    ports, named = _ports(rule.get("ports") or ())
    return Rule(name, groups, blocks, ports, named)


def _pod_peer(peer: Mapping[str, Any], namespace: str) -> tuple[str, _PodPeer]:
    """Return a peer under a key that says what it selects; equal selectors share a key and so a set in the kernel."""
    across, within = peer.get("namespaceSelector"), peer.get("podSelector")
    if across is None and within is None:
        return "nothing", _PodPeer(namespace, None, NOTHING)
    pods = selector(within) if within is not None else LabelSelector()
    stated: dict[str, Any] = {"namespace": namespace} if across is None else {"namespaces": across}
    if within is not None:
        stated["pods"] = within
    key = msgspec.json.encode(stated, order="deterministic").decode()
    return key, _PodPeer(namespace if across is None else None, None if across is None else selector(across), pods)


def _merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    merged: list[AddressRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _ports(
    ports: Iterable[Mapping[str, Any]],
) -> tuple[tuple[PortRange, ...] | None, tuple[str, ...] | None]:
    if not ports:
        return None, None
    numbered: set[PortRange] = set()
    named: set[str] = set()
    for port in ports:
        protocol, number = port.get("protocol") or "TCP", port.get("port")
        if protocol not in _PROTOCOLS:
            continue
        if isinstance(number, str):
            named.add(f"{protocol}/{number}")
        else:
            numbered |= _port_range(protocol, number, port.get("endPort"))
    return _merged_ports(numbered), tuple(sorted(named))


def _port_range(protocol: str, number: Any, end: Any) -> set[PortRange]:
    first, last = (0, _LAST_PORT) if number is None else (number, end or number)
    if isinstance(first, int) and isinstance(last, int) and 0 <= first <= last <= _LAST_PORT:
        return {PortRange(protocol, first, last)}
    return set()


def _merged_ports(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the ranges merged per protocol: the kernel's sets refuse overlaps."""
    protocols = {entry.protocol for entry in ranges}
    return tuple(
        PortRange(protocol, first, last)
        for protocol in sorted(protocols)
        for first, last in _merged((entry.first, entry.last) for entry in ranges if entry.protocol == protocol)
    )


def _named_ports(policy: Policy) -> Iterator[str]:
    for rule in (*(policy.ingress or ()), *(policy.egress or ())):
        yield from rule.named_ports or ()


def _members(peer: _PodPeer, pods: Iterable[_Pod], namespaces: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    return frozenset(
        pod.address
        for pod in pods
        if _is_namespace_selected(peer, pod.namespace, namespaces) and peer.pods.matches(pod.labels)
    )


def _is_namespace_selected(peer: _PodPeer, namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    if peer.namespaces is None:
        return namespace == peer.namespace
    return namespace in namespaces and peer.namespaces.matches(namespaces[namespace])


def _port_addresses(key: str, pods: Iterable[_Pod]) -> frozenset[PortAddress]:
    wanted_protocol, _, wanted = key.partition("/")
    return frozenset(
        PortAddress(pod.address, protocol, number)
        for pod in pods
        for name, protocol, number in pod.ports
        if (name, protocol) == (wanted, wanted_protocol)
    )


def _isolated(policies: Mapping[str, _Compiled], pods: Iterable[_Pod]) -> dict[str, Isolation]:
    by_namespace: dict[str, list[tuple[str, _Compiled]]] = {}
    for name, entry in policies.items():
        by_namespace.setdefault(entry.namespace, []).append((name, entry))
    isolated = {}
    for pod in pods:
        selected = [pair for pair in by_namespace.get(pod.namespace, ()) if pair[1].targets.matches(pod.labels)]
        if selected:
            ingress = tuple(name for name, entry in selected if entry.policy.ingress is not None)
            egress = tuple(name for name, entry in selected if entry.policy.egress is not None)
            isolated[pod.address] = Isolation(ingress, egress)
    return isolated

"""May this connection be opened, and who says so? A direct reading of NetworkPolicies, rule by rule. Pure.

`explain connection` shows its verdict. It shares nothing with `compile` but label selectors, so the two check each
other: what is compiled and enforced must agree with what is read here.
"""

import contextlib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadstead.api.objects import ReadOnlyObject, key_of, labels_of
from roadstead.api.selectors import label_selector_from


@dataclass(frozen=True)
class Party:
    """One end of a connection: an address, and the pod that has it, if one does."""

    address: str
    pod: ReadOnlyObject | None = None
    is_node: bool = False

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return key_of(self.pod).namespace if self.pod is not None else ""

    def __str__(self) -> str:
        return f"pod {key_of(self.pod)}" if self.pod is not None else f"address {self.address}"


@dataclass(frozen=True)
class Decision:
    """What one direction says: `isolated_by` are policies that select the pod, `allowed_by` rules that let it pass."""

    direction: str
    party: Party
    isolated_by: tuple[str, ...] = ()
    allowed_by: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """A pod that no policy isolates allows everything."""
        return not self.isolated_by or bool(self.allowed_by)

    def __str__(self) -> str:
        if not self.isolated_by:
            return f"no policy isolates {self.party} for {self.direction}"
        if self.allowed_by:
            return f"{self.direction} of {self.party} is allowed by {', '.join(self.allowed_by)}"
        isolating = ", ".join(self.isolated_by)
        return f"{self.direction} of {self.party} is denied: isolated by {isolating}, and no rule allows it"


@dataclass(frozen=True)
class Verdict:
    """Whether a connection may be opened: both directions must allow it. `note` says why policies were not asked."""

    egress: Decision
    ingress: Decision
    note: str = ""

    @property
    def allowed(self) -> bool:
        """Say whether the connection may be opened."""
        return bool(self.note) or (self.egress.allowed and self.ingress.allowed)

    def __str__(self) -> str:
        reason = self.note or f"{self.egress}; {self.ingress}"
        return f"{'allowed' if self.allowed else 'denied'}: {reason}"


def evaluate(
    source: Party,
    destination: Party,
    protocol: str,
    port: int,
    *,
    policies: Iterable[ReadOnlyObject],
    namespaces: Iterable[ReadOnlyObject],
) -> Verdict:
    """Return whether `source` may open a connection to this port of `destination`, after Services were resolved."""
    egress, ingress = Decision("egress", source), Decision("ingress", destination)
    if source.is_node:
        return Verdict(egress, ingress, "the node reaches its own pods always, so that probes work")
    if source.address == destination.address:
        return Verdict(egress, ingress, "a pod cannot block itself")
    labels = {key_of(namespace).name: labels_of(namespace) for namespace in namespaces}
    listed = list(policies)
    judge = _Judge(labels, destination, protocol, port)
    return Verdict(
        judge.decide("egress", listed, source, destination), judge.decide("ingress", listed, destination, source)
    )


@dataclass(frozen=True)
class _Judge:
    namespaces: Mapping[str, Mapping[str, str]]
    destination: Party
    protocol: str
    port: int

    def decide(self, direction: str, policies: Sequence[ReadOnlyObject], party: Party, peer: Party) -> Decision:
        isolating = [policy for policy in policies if _selects(policy, direction, party)]
        allowing = [place for policy in isolating for place in self._allowing_rules(policy, direction, peer)]
        return Decision(direction, party, tuple(str(key_of(policy)) for policy in isolating), tuple(allowing))

    def _allowing_rules(self, policy: ReadOnlyObject, direction: str, peer: Party) -> Iterator[str]:
        peer_field = "from" if direction == "ingress" else "to"
        for number, rule in enumerate(policy["spec"].get(direction) or ()):
            peers, ports = rule.get(peer_field) or [], rule.get("ports") or []
            peer_number = _first(peers, lambda item: self._is_peer(item, policy, peer))
            port_number = _first(ports, self._is_port)
            if (not peers or peer_number is not None) and (not ports or port_number is not None):
                where = f".{peer_field}[{peer_number}]" if peers else ""
                yield f"{key_of(policy)} {direction}[{number}]{where}" + (f".ports[{port_number}]" if ports else "")

    def _is_peer(self, item: Mapping[str, Any], policy: ReadOnlyObject, peer: Party) -> bool:
        if item.get("ipBlock"):
            return _in_block(item["ipBlock"], peer.address)
        across, within = item.get("namespaceSelector"), item.get("podSelector")
        if peer.pod is None or (across is None and within is None):
            return False
        if across is None and peer.namespace != key_of(policy).namespace:
            return False
        if across is not None and not self._is_namespace(across, peer.namespace):
            return False
        return within is None or label_selector_from(within).matches(labels_of(peer.pod))

    def _is_namespace(self, across: Mapping[str, Any], name: str) -> bool:
        return name in self.namespaces and label_selector_from(across).matches(self.namespaces[name])

    def _is_port(self, item: Mapping[str, Any]) -> bool:
        wanted = item.get("port")
        if (item.get("protocol") or "TCP") != self.protocol:
            return False
        if isinstance(wanted, str):
            return self.destination.pod is not None and any(
                port.get("name") == wanted
                and (port.get("protocol") or "TCP") == self.protocol
                and port["containerPort"] == self.port
                for container in self.destination.pod["spec"].get("containers") or ()
                for port in container.get("ports") or ()
            )
        return wanted is None or wanted <= self.port <= (item.get("endPort") or wanted)


def _first(items: Sequence[Mapping[str, Any]], fits: Callable[[Mapping[str, Any]], bool]) -> int | None:
    """Return the number of the first item that fits; one that cannot be read fits nothing."""
    for number, item in enumerate(items):
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            if fits(item):
                return number
    return None


def _selects(policy: ReadOnlyObject, direction: str, party: Party) -> bool:
    if party.pod is None or key_of(policy).namespace != party.namespace:
        return False
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    picked = label_selector_from(spec.get("podSelector") or {}).matches(labels_of(party.pod))
    return direction.capitalize() in types and picked


def _in_block(block: Mapping[str, Any], address: str) -> bool:
    target = ipaddress.ip_address(address)
    if target not in ipaddress.ip_network(block["cidr"], strict=False):
        return False
    return not any(target in ipaddress.ip_network(gap, strict=False) for gap in block.get("except") or ())

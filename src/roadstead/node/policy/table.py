"""What NetworkPolicies mean for this node, in terms of addresses: the data between `compile` and `rules`.

Three things change at different speeds, so they are kept apart: which addresses a selector picks (`groups`, every pod
start), which rules a policy has (`policies`, every policy change) and which policies isolate an address (`isolated`).
A rule names groups, so a new pod touches elements of sets and never a rule. Everything is frozen and serialisable with
msgspec, because it crosses from the supervisor to netd. Next: `rules`, the table as nf_tables changes.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

_Value = TypeVar("_Value")

AddressRange = tuple[int, int]
"""First and last IPv4 address of a range, as integers."""


class PortRange(msgspec.Struct, frozen=True, order=True):
    """Ports of one protocol, both ends included; `protocol` is TCP, UDP or SCTP."""

    protocol: str
    first: int
    last: int


class PortAddress(msgspec.Struct, frozen=True, order=True):
    """Where a named port is on one pod."""

    address: str
    protocol: str
    port: int


class Rule(msgspec.Struct, frozen=True):
    """One entry of `ingress` or `egress`: peers AND ports, each a union of what is listed.

    `groups` and `blocks` are the peers (None in both: any peer); `ports` and `named_ports` the ports (None in both: any
    port of any protocol). Two empty tuples select nobody. `name` is for people: `default/db ingress[0]`.
    """

    name: str
    groups: tuple[str, ...] | None = None
    blocks: tuple[AddressRange, ...] | None = None
    ports: tuple[PortRange, ...] | None = None
    named_ports: tuple[str, ...] | None = None


class Policy(msgspec.Struct, frozen=True):
    """The rules of one NetworkPolicy; None for a direction that it does not isolate."""

    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None


class Isolation(msgspec.Struct, frozen=True):
    """The policies (`namespace/name`, sorted) that isolate one address in each direction; empty: not isolated."""

    ingress: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()


class PolicyTable(msgspec.Struct, frozen=True):
    """Everything that the kernel must know to enforce the NetworkPolicies of this node's pods.

    `groups`: selector → addresses; `named_ports`: `TCP/http` → where; `policies`: `namespace/name` → rules;
    `isolated`: pod address → the policies that isolate it.
    """

    groups: dict[str, frozenset[str]] = {}
    named_ports: dict[str, frozenset[PortAddress]] = {}
    policies: dict[str, Policy] = {}
    isolated: dict[str, Isolation] = {}


class PolicyChange(msgspec.Struct, frozen=True):
    """How one `PolicyTable` becomes another: new values by key, None for keys that go."""

    groups: dict[str, frozenset[str] | None] = {}
    named_ports: dict[str, frozenset[PortAddress] | None] = {}
    policies: dict[str, Policy | None] = {}
    isolated: dict[str, Isolation | None] = {}

    def __bool__(self) -> bool:
        return bool(self.groups or self.named_ports or self.policies or self.isolated)


def difference(old: PolicyTable, new: PolicyTable) -> PolicyChange:
    """Return what makes `new` of `old`; it is false when nothing changes."""
    return PolicyChange(
        groups=_changed(old.groups, new.groups),
        named_ports=_changed(old.named_ports, new.named_ports),
        policies=_changed(old.policies, new.policies),
        isolated=_changed(old.isolated, new.isolated),
    )


def patched(table: PolicyTable, change: PolicyChange) -> PolicyTable:
    """Return the table with a change made: `patched(old, difference(old, new)) == new`."""
    return PolicyTable(
        groups=_patched(table.groups, change.groups),
        named_ports=_patched(table.named_ports, change.named_ports),
        policies=_patched(table.policies, change.policies),
        isolated=_patched(table.isolated, change.isolated),
    )


def _changed(old: Mapping[str, _Value], new: Mapping[str, _Value]) -> dict[str, _Value | None]:
    gone: dict[str, _Value | None] = {key: None for key in old if key not in new}
    return gone | {key: value for key, value in new.items() if old.get(key) != value}


def _patched(old: Mapping[str, _Value], changes: Mapping[str, _Value | None]) -> dict[str, _Value]:
    merged = {**old, **changes}
    return {key: value for key, value in merged.items() if value is not None}

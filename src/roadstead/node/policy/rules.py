"""A change of the `PolicyTable` as packet filter changes. Pure; `NodeNetwork.change_policies` commits them.

    map egress-of/ingress-of   pod address → the chain "isolated by these policies"
    chain isolated-…           jump to the chain of each of these policies; then drop
    chain egress-…/ingress-…   one policy in one direction: accept what its rules list
    set group-…, ports-…       the addresses that a selector picks; where a named port is

Chains are named after what they contain: a changed policy gets a new chain, the maps are switched to it in one step,
and pods isolated by the same policies share a chain. A new pod is a few elements, whatever the number of policies.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from roadstead.node.network.base_rules import EGRESS, INGRESS, TABLE
from roadstead.node.network.expressions import (
    REGISTER,
    accept,
    between,
    counted,
    drop,
    equals,
    goto_value,
    is_in,
    jump,
    load_destination,
    load_port,
    load_protocol,
    load_source,
)
from roadstead.node.network.nftables import (
    PROTOCOLS,
    Batch,
    Change,
    Element,
    Key,
    Set,
    address_key,
    address_ranges,
    new_change,
    port_key,
)
from roadstead.node.policy.table import Policy, PolicyChange, PolicyTable, PortAddress, PortRange, Rule, patched

_DIRECTIONS = {"egress": EGRESS, "ingress": INGRESS}
_ADDRESSES = Set((Key.IPV4,))
_RANGES = Set((Key.IPV4,), ranges=True)
_PORTS = Set((Key.PROTOCOL, Key.PORT), ranges=True)
_NAMED_PORTS = Set((Key.IPV4, Key.PROTOCOL, Key.PORT))


class _Place(NamedTuple):
    """One direction of one policy, or of one isolated address."""

    direction: str
    name: str


@dataclass(frozen=True)
class PolicyRules:
    """What the kernel enforces: the table, and the names of the chains that hold it."""

    table: PolicyTable = field(default_factory=PolicyTable)
    policy_chains: Mapping[_Place, str] = field(default_factory=dict)
    isolation_chains: Mapping[_Place, str] = field(default_factory=dict)

    def changed(self, change: PolicyChange) -> tuple["PolicyRules", Change]:
        """Return the rules after a change of the table, and what to commit to get there."""
        table = patched(self.table, change)
        policy_chains = self._renamed_policies(change)
        isolation_chains = self._renamed_isolations(change, table, policy_chains)
        after = PolicyRules(table, policy_chains, isolation_chains)
        changes = new_change(TABLE)
        _change_sets(changes, "group", _ADDRESSES, self.table.groups, change.groups)
        _change_sets(changes, "ports", _NAMED_PORTS, self.table.named_ports, change.named_ports)
        _make_chains(changes.prepare, self, after)
        _switch(changes.switch, self, after)
        _delete_chains(changes, self, after)
        _delete_sets(changes, "group", self.table.groups, change.groups)
        _delete_sets(changes, "ports", self.table.named_ports, change.named_ports)
        return after, changes

    def _renamed_policies(self, change: PolicyChange) -> dict[_Place, str]:
        chains = dict(self.policy_chains)
        for name, policy in change.policies.items():
            for direction in _DIRECTIONS:
                rules = getattr(policy, direction, None)
                place = _Place(direction, name)
                chains.pop(place, None)
                if rules is not None:
                    chains[place] = f"{direction}-{_digest((name, rules))}"
        return chains

    def _renamed_isolations(
        self, change: PolicyChange, table: PolicyTable, policy_chains: Mapping[_Place, str]
    ) -> dict[_Place, str]:
        chains = dict(self.isolation_chains)
        for place in _affected(change, self.table, table):
            isolation = table.isolated.get(place.name)
            policies = getattr(isolation, place.direction, ())
            chains.pop(place, None)
            if policies:
                members = [
                    policy_chains[found]
                    for name in policies
                    if (found := _Place(place.direction, name)) in policy_chains
                ]
                chains[place] = f"isolated-{_digest((place.direction, members))}"
        return chains


def _affected(change: PolicyChange, old: PolicyTable, new: PolicyTable) -> Iterator[_Place]:
    addresses = set(change.isolated)
    if change.policies:
        for isolated in (old.isolated, new.isolated):
            for address, isolation in isolated.items():
                if not change.policies.keys().isdisjoint((*isolation.ingress, *isolation.egress)):
                    addresses.add(address)
    for address in addresses:
        yield from (_Place(direction, address) for direction in _DIRECTIONS)


def _digest(content: Any) -> str:
    return blake2b(msgspec.msgpack.encode(content), digest_size=10).hexdigest()


def _set_name(prefix: str, key: str) -> str:
    return f"{prefix}-{_digest(key)}"


def _elements(members: Iterable[str | PortAddress]) -> list[Element]:
    return [Element(_member_key(member)) for member in members]


def _member_key(member: str | PortAddress) -> bytes:
    if isinstance(member, PortAddress):
        return address_key(member.address) + port_key(member.protocol, member.port)
    return address_key(member)


def _change_sets(
    changes: Change,
    prefix: str,
    form: Set,
    old: Mapping[str, frozenset[Any]],
    changed: Mapping[str, frozenset[Any] | None],
) -> None:
    for key, members in changed.items():
        if members is None:
            continue
        name, before = _set_name(prefix, key), old.get(key)
        if before is None:
            changes.prepare.new_set(name, form)
            changes.prepare.add_elements(name, _elements(members))
        else:
            changes.switch.delete_elements(name, _elements(before - members))
            changes.switch.add_elements(name, _elements(members - before))


def _delete_sets(
    changes: Change, prefix: str, old: Mapping[str, frozenset[Any]], changed: Mapping[str, frozenset[Any] | None]
) -> None:
    for key, members in changed.items():
        if members is None and key in old:
            changes.clean.delete_set(_set_name(prefix, key))


def _make_chains(batch: Batch, before: PolicyRules, after: PolicyRules) -> None:
    known = set(before.policy_chains.values())
    for place, chain in after.policy_chains.items():
        if chain not in known:
            _make_policy(batch, chain, place.direction, after.table.policies[place.name], after.table)
    made = set(before.isolation_chains.values())
    for place, chain in after.isolation_chains.items():
        if chain not in made:
            made.add(chain)
            _make_isolation(batch, chain, place, after)


def _make_isolation(batch: Batch, chain: str, place: _Place, rules: PolicyRules) -> None:
    batch.new_chain(chain)
    for policy in getattr(rules.table.isolated[place.name], place.direction):
        member = rules.policy_chains.get(_Place(place.direction, policy))
        if member is not None:
            batch.new_rule(chain, jump(member), comment=policy)
    batch.new_rule(chain, counted(), drop(), comment=f"no {place.direction} rule allows it")


def _switch(batch: Batch, before: PolicyRules, after: PolicyRules) -> None:
    for direction, verdicts in _DIRECTIONS.items():
        old = {place.name: chain for place, chain in before.isolation_chains.items() if place.direction == direction}
        new = {place.name: chain for place, chain in after.isolation_chains.items() if place.direction == direction}
        gone = [address for address, chain in old.items() if new.get(address) != chain]
        made = [(address, chain) for address, chain in new.items() if old.get(address) != chain]
        batch.delete_elements(verdicts, _elements(gone))
        batch.add_elements(
            verdicts, [Element(address_key(address), value=goto_value(chain)) for address, chain in made]
        )


def _delete_chains(changes: Change, before: PolicyRules, after: PolicyRules) -> None:
    for chain in set(before.isolation_chains.values()) - set(after.isolation_chains.values()):
        changes.clean.delete_chain(chain)
    kept = set(after.policy_chains.values())
    for place, chain in before.policy_chains.items():
        if chain not in kept:
            changes.clean.delete_chain(chain)
            rules = getattr(before.table.policies[place.name], place.direction)
            for name, _, _ in _own_sets(chain, rules):
                changes.clean.delete_set(name)


def _own_sets(chain: str, rules: Iterable[Rule]) -> Iterator[tuple[str, Set, list[Element]]]:
    """Yield the sets that belong to a policy's chain alone: several address ranges or ports that a rule spells out.

    A single one, which is what most rules have, is compared directly: sets cost the kernel the most.
    """
    for number, rule in enumerate(rules):
        if rule.blocks and len(rule.blocks) > 1:
            yield f"{chain}-blocks-{number}", _RANGES, address_ranges(rule.blocks)
        if rule.ports and len(rule.ports) > 1:
            yield f"{chain}-ports-{number}", _PORTS, [_port_range(ports) for ports in rule.ports]


def _port_range(ports: PortRange) -> Element:
    return Element(port_key(ports.protocol, ports.first), port_key(ports.protocol, ports.last))


def _make_policy(batch: Batch, chain: str, direction: str, policy: Policy, table: PolicyTable) -> None:
    rules: tuple[Rule, ...] = getattr(policy, direction)
    batch.new_chain(chain)
    for name, form, elements in _own_sets(chain, rules):
        batch.new_set(name, form)
        batch.add_elements(name, elements)
    for number, rule in enumerate(rules):
        for peers in _peers(rule, f"{chain}-blocks-{number}", direction, table):
            for ports in _ports(rule, f"{chain}-ports-{number}", table):
                batch.new_rule(chain, peers, ports, accept(), comment=rule.name)


def _peers(rule: Rule, blocks: str, direction: str, table: PolicyTable) -> Iterator[bytes]:
    """Yield the alternatives of "whom": expressions that go on only for such a peer."""
    load_peer = load_source() if direction == "ingress" else load_destination()
    if rule.groups is None and rule.blocks is None:
        yield b""
    for key in rule.groups or ():
        if key in table.groups:
            yield load_peer + is_in(_set_name("group", key))
    if rule.blocks:
        first, last = (number.to_bytes(4, "big") for number in rule.blocks[0])
        yield load_peer + (is_in(blocks) if len(rule.blocks) > 1 else between(first, last))


def _only_ports(ports: PortRange) -> bytes:
    first, last = ports.first.to_bytes(2, "big"), ports.last.to_bytes(2, "big")
    return load_protocol() + equals(bytes([PROTOCOLS[ports.protocol]])) + load_port() + between(first, last)


def _ports(rule: Rule, ports: str, table: PolicyTable) -> Iterator[bytes]:
    """Yield the alternatives of "to which port": expressions that go on only for such a destination."""
    if rule.ports is None and rule.named_ports is None:
        yield b""
    if rule.ports and len(rule.ports) > 1:
        yield load_protocol() + load_port(REGISTER + 1) + is_in(ports)
    elif rule.ports:
        yield _only_ports(rule.ports[0])
    for key in rule.named_ports or ():
        if key in table.named_ports:
            found = load_destination() + load_protocol(REGISTER + 1) + load_port(REGISTER + 2)
            yield found + is_in(_set_name("ports", key))

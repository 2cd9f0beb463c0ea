"""Random clusters for policy tests: namespaces, pods, policies and hosts, from a hypothesis draw or a seed.

`table_allows` reads a compiled `PolicyTable` as the kernel would: the third reading, next to `evaluate` and nftables.
"""

import ipaddress
import random
from dataclasses import dataclass
from typing import Any

from roadstead.node.policy.evaluate import Party
from roadstead.node.policy.table import PolicyTable, PortAddress, Rule

PORTS = {"TCP": (80, 81, 6379), "UDP": (53, 81)}
_LABELS = {"role": ("db", "frontend", "api"), "tier": ("one", "two")}
_BLOCKS = (
    "10.244.0.0/16",
    "10.244.1.0/30",
    "10.0.0.0/24",
    "172.17.0.0/16",
    "0.0.0.0/0",
    "10.244.1.4/31",
    "100.64.0.0/10",
)


@dataclass(frozen=True)
class Case:
    """A cluster in which any two parties may try to connect."""

    namespaces: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    policies: list[dict[str, Any]]
    outside: dict[str, str]

    def parties(self) -> dict[str, Party]:
        """Return everybody who may connect, by key."""
        pods = {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": Party(pod["status"]["podIP"], pod)
            for pod in self.pods
        }
        return pods | {key: Party(address) for key, address in self.outside.items()}


def random_case(seed: int, *, pods: int = 7, policies: int = 5) -> Case:
    """Return the case of a seed."""
    dice = random.Random(seed)
    namespaces = [
        {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **_some_labels(dice)}}}
        for name in ("x", "y", "z")
    ]
    return Case(
        namespaces,
        [_pod(dice, number) for number in range(pods)],
        [_policy(dice, number) for number in range(policies)],
        {"edge": "100.64.0.2", "warehouse": "10.0.0.5", "office": "172.17.0.9", "office-basement": "172.17.1.9"},
    )


def _some_labels(dice: random.Random) -> dict[str, str]:
    return {key: dice.choice(values) for key, values in _LABELS.items() if dice.random() < 0.7}


def _pod(dice: random.Random, number: int) -> dict[str, Any]:
    declared = [{"name": "web", "containerPort": dice.choice((80, 81))}]
    if dice.random() < 0.7:
        declared.append(
            {"name": dice.choice(("web", "dns")), "protocol": "UDP", "containerPort": dice.choice((53, 81))}
        )
    return {
        "metadata": {"namespace": dice.choice("xyz"), "name": f"p{number}", "labels": _some_labels(dice)},
        "spec": {"containers": [{"name": "main", "ports": declared}]},
        "status": {"podIP": f"10.244.1.{number + 1}", "phase": "Running"},
    }


def _selector(dice: random.Random) -> dict[str, Any]:
    kind = dice.random()
    key = dice.choice(list(_LABELS))
    if kind < 0.25:
        return {}
    if kind < 0.6:
        return {"matchLabels": {key: dice.choice(_LABELS[key])}}
    operator = dice.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    term = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        term["values"] = dice.sample(_LABELS[key], dice.randint(1, 2))
    return {"matchExpressions": [term]}


def _peer(dice: random.Random) -> dict[str, Any]:
    kind = dice.random()
    if kind < 0.35:
        block: dict[str, Any] = {"cidr": dice.choice(_BLOCKS)}
        network = ipaddress.ip_network(block["cidr"])
        if dice.random() < 0.6 and network.prefixlen < 31:
            inside = [each for each in (*_BLOCKS, "172.17.1.0/24", "10.0.0.4/30") if _lies_in(each, network)]
            block["except"] = dice.sample(inside, min(len(inside), dice.randint(0, 2)))
        return {"ipBlock": block}
    if kind < 0.55:
        return {"podSelector": _selector(dice)}
    if kind < 0.75:
        return {"namespaceSelector": _selector(dice)}
    return {"namespaceSelector": _selector(dice), "podSelector": _selector(dice)}


def _lies_in(text: str, network: Any) -> bool:
    other = ipaddress.ip_network(text)
    return other != network and other.subnet_of(network)


def _port(dice: random.Random) -> dict[str, Any]:
    protocol = dice.choice(("TCP", "TCP", "UDP", "SCTP", None))
    port: dict[str, Any] = {} if protocol is None else {"protocol": protocol}
    kind = dice.random()
    if kind < 0.25:
        port["port"] = dice.choice(("web", "dns", "nobody"))
    elif kind < 0.55:
        port["port"] = dice.choice((80, 81, 53, 6379))
    elif kind < 0.8:
        port["port"] = dice.choice((53, 80, 81))
        port["endPort"] = port["port"] + dice.choice((0, 1, 7000))
    return port


def _policy(dice: random.Random, number: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"podSelector": _selector(dice)}
    if dice.random() < 0.6:
        spec["policyTypes"] = dice.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    for field, peers in (("ingress", "from"), ("egress", "to")):
        if dice.random() < 0.6:
            spec[field] = [_rule(dice, peers) for _ in range(dice.randint(0, 2))]
    return {"metadata": {"namespace": dice.choice("xyz"), "name": f"policy-{number}"}, "spec": spec}


def _rule(dice: random.Random, peers: str) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if dice.random() < 0.8:
        rule[peers] = [_peer(dice) for _ in range(dice.randint(0, 3))]
    if dice.random() < 0.7:
        rule["ports"] = [_port(dice) for _ in range(dice.randint(0, 3))]
    return rule


def table_allows(table: PolicyTable, source: str, destination: str, protocol: str, port: int) -> bool:
    """Say whether a table lets a connection be opened."""
    if source == destination:
        return True
    target = PortAddress(destination, protocol, port)
    return _direction_allows(table, "egress", source, destination, target) and _direction_allows(
        table, "ingress", destination, source, target
    )


def _direction_allows(table: PolicyTable, direction: str, address: str, peer: str, target: PortAddress) -> bool:
    isolation = table.isolated.get(address)
    policies = getattr(isolation, direction, ())
    rules = [rule for name in policies for rule in getattr(table.policies[name], direction)]
    return not policies or any(_has_peer(table, rule, peer) and _has_port(table, rule, target) for rule in rules)


def _has_peer(table: PolicyTable, rule: Rule, peer: str) -> bool:
    if rule.groups is None and rule.blocks is None:
        return True
    number = int(ipaddress.IPv4Address(peer))
    in_group = any(peer in table.groups[key] for key in rule.groups or ())
    return in_group or any(first <= number <= last for first, last in rule.blocks or ())


def _has_port(table: PolicyTable, rule: Rule, target: PortAddress) -> bool:
    if rule.ports is None and rule.named_ports is None:
        return True
    in_range = any(
        ports.protocol == target.protocol and ports.first <= target.port <= ports.last for ports in rule.ports or ()
    )
    return in_range or any(target in table.named_ports[key] for key in rule.named_ports or ())

"""What the node's network costs: pods, Services and NetworkPolicies, each in the kernel of this machine.

    python bench/network.py [--policies 1000] [--pods 50] [--user ordinary|root]

Runs in namespaces of its own, as an ordinary user by default. Medians, in milliseconds; "plan" is Python, "kernel" the
transaction. Goal: a policy change with 1,000 policies present in 1 ms of kernel time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from network_bed import in_node

from roadstead.node.network.base_rules import TABLE
from roadstead.node.network.links import NodeNetwork
from roadstead.node.network.service_rules import service_change
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable
from roadstead.node.policy.compile import PolicyCompiler
from roadstead.node.policy.table import PolicyTable, difference


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--user", choices=("ordinary", "root"), default="ordinary")
    wanted = parser.parse_args()
    for name, milliseconds in in_node(wanted.user, lambda network: _measure(network, wanted.policies, wanted.pods)):
        print(f"{name:58} {milliseconds:9.3f} ms")


def _measure(network: NodeNetwork, policies: int, pods: int) -> list[tuple[str, float]]:
    return [*_links(network, pods), *_policies(network, policies, pods), *_services(network)]


def _links(network: NodeNetwork, count: int) -> Iterator[tuple[str, float]]:
    yield "connect a pod", _median(lambda n: network.attach(f"p{n}", f"10.244.1.{n + 1}"), count)
    yield "disconnect a pod", _median(lambda n: network.detach(f"p{n}"), count)


def _median(action: Callable[[int], Any], count: int) -> float:
    return statistics.median(_timed(lambda number=number: action(number)) for number in range(count))


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def _policies(network: NodeNetwork, count: int, pods: int) -> Iterator[tuple[str, float]]:
    compiler, namespaces = PolicyCompiler(), [_namespace(number) for number in range(10)]
    running, policies = [_pod(number) for number in range(pods)], [_policy(number) for number in range(count)]
    started = time.perf_counter()
    table = compiler.compile(running, namespaces, policies)
    yield f"{count} policies, {pods} pods: compile", (time.perf_counter() - started) * 1000
    yield f"{count} policies: put in force", _timed(lambda: network.apply_policies(table))
    grown = compiler.compile([*running, _pod(pods)], namespaces, policies)
    yield (
        "compile again with one more pod",
        _median(lambda n: compiler.compile([*running, _pod(pods + n)], namespaces, policies), 10),
    )
    yield from _switched(network, "one more pod, one less", table, grown)
    opened = compiler.compile(running, namespaces, [{**policies[0], "spec": {"podSelector": {}}}, *policies[1:]])
    yield from _switched(network, "one policy changed", table, opened)
    yield f"{count} policies: taken back", _timed(lambda: network.apply_policies(PolicyTable()))


def _switched(network: NodeNetwork, name: str, one: PolicyTable, other: PolicyTable) -> Iterator[tuple[str, float]]:
    """Go from one table to the other and back, and measure planning and the kernel apart."""
    there, back = difference(one, other), difference(other, one)
    plans, commits = [], []
    for number in range(100):
        change = back if number % 2 else there
        started = time.perf_counter()
        rules, transaction = network._policies.changed(change)
        planned = time.perf_counter()
        network._filter.commit(transaction)
        network._policies = rules
        plans.append((planned - started) * 1000)
        commits.append((time.perf_counter() - planned) * 1000)
    yield f"{name}: plan", statistics.median(plans)
    yield f"{name}: kernel", statistics.median(commits)


def _services(network: NodeNetwork) -> Iterator[tuple[str, float]]:
    endpoints = Endpoint("10.244.1.1", 80), Endpoint("10.244.1.2", 80)
    ports = [
        ServicePort(f"10.96.{number // 250}.{number % 250}", "TCP", 80, f"default/s{number}", endpoints)
        for number in range(1000)
    ]
    every, fewer = ServiceTable(tuple(ports)), ServiceTable(tuple(ports[1:]))
    yield "1000 Services: put in force", _timed(lambda: network.apply_services(every))
    yield "one Service changed of 1000", _median(lambda n: network.apply_services(every if n % 2 else fewer), 50)
    change = service_change(TABLE, every, fewer)
    yield "one Service changed of 1000: kernel", _timed(lambda: network._filter.commit(change))


def _namespace(number: int) -> dict[str, Any]:
    return {"metadata": {"name": f"n{number}", "labels": {"team": str(number % 3)}}}


def _pod(number: int) -> dict[str, Any]:
    return {
        "metadata": {"namespace": f"n{number % 10}", "name": f"p{number}", "labels": {"app": f"a{number % 20}"}},
        "spec": {"containers": []},
        "status": {"podIP": f"10.244.{2 + number // 250}.{number % 250}", "phase": "Running"},
    }


def _policy(number: int) -> dict[str, Any]:
    peers = [
        {"podSelector": {"matchLabels": {"app": f"a{number // 7 % 20}"}}},
        {"namespaceSelector": {"matchLabels": {"team": str(number % 3)}}},
        {"ipBlock": {"cidr": f"10.{number % 200}.0.0/16"}},
    ]
    return {
        "metadata": {"namespace": f"n{number % 10}", "name": f"policy-{number}"},
        "spec": {
            "podSelector": {"matchLabels": {"app": f"a{number % 20}"}},
            "ingress": [{"from": peers, "ports": [{"port": 80 + number % 50}]}],
        },
    }


if __name__ == "__main__":
    main()

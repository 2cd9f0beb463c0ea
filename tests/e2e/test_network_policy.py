"""NetworkPolicies in the kernel: real probes between real namespaces, judged by `evaluate`."""

import pytest
from network_bed import Bed, Probe, as_both_users, in_node
from policy_cases import PORTS, Case, random_case

from roadstead.node.network.links import NodeNetwork
from roadstead.node.network.nftables import NftablesSocket
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable
from roadstead.node.policy.compile import compile_policies
from roadstead.node.policy.evaluate import Party, evaluate
from roadstead.node.policy.table import PolicyTable

pytestmark = pytest.mark.e2e

NODE = Party("100.64.0.1", is_node=True)


def _open_everything(network: NodeNetwork, case: Case) -> Bed:
    bed = Bed(network)
    for key, party in case.parties().items():
        if key != "edge":
            network.attach(key, party.address)
        for protocol, ports in PORTS.items():
            for port in ports:
                bed.listen(key, party.address, protocol, port)
    return bed


def _expected(case: Case) -> dict[Probe, bool]:
    parties = case.parties()
    return {
        Probe(source, destination.address, protocol, port): evaluate(
            parties.get(source, NODE),
            destination,
            protocol,
            port,
            policies=case.policies,
            namespaces=case.namespaces,
        ).allowed
        for source in (*parties, "node")
        for destination in parties.values()
        for protocol, ports in PORTS.items()
        for port in ports
    }


def _wrong(bed: Bed, expected: dict[Probe, bool]) -> list[str]:
    seen = bed.probe(expected)
    return [
        f"{probe} should be {'open' if allowed else 'closed'}"
        for probe, allowed in expected.items()
        if seen[probe] != allowed
    ]


@as_both_users
def test_random_policies_are_enforced_as_they_read(user):
    def test(network: NodeNetwork):
        wrong, denied = [], 0
        first = random_case(0)
        bed = _open_everything(network, first)
        for seed in range(12):
            # The same pods all along, so that each table is reached as a difference to the one before.
            case = Case(first.namespaces, first.pods, random_case(seed).policies, first.outside)
            network.apply_policies(compile_policies(case.pods, case.namespaces, case.policies))
            expected = _expected(case)
            denied += sum(not allowed for allowed in expected.values())
            wrong += [f"seed {seed}: {each}" for each in _wrong(bed, expected)]
        network.apply_policies(PolicyTable())
        wrong += [f"without policies: {each}" for each in _wrong(bed, dict.fromkeys(expected, True))]
        return wrong, denied

    wrong, denied = in_node(user, test)
    assert denied > 1000
    assert wrong == []


def test_changes_larger_than_the_sockets_buffer_are_enforced_all_the_same():
    def test(network: NodeNetwork):
        network._filter = NftablesSocket(send_buffer=1)  # the kernel gives its least: a few rules at a time
        wrong = []
        first = random_case(0)
        bed = _open_everything(network, first)
        for seed in range(40, 46):
            case = Case(first.namespaces, first.pods, random_case(seed).policies, first.outside)
            network.apply_policies(compile_policies(case.pods, case.namespaces, case.policies))
            wrong += _wrong(bed, _expected(case))
        return wrong

    assert in_node("ordinary", test) == []


@as_both_users
def test_enforcement_follows_pods_whose_labels_change(user):
    def test(network: NodeNetwork):
        wrong = []
        base = random_case(3)
        bed = _open_everything(network, base)
        for seed in range(100, 108):
            labels = {pod["metadata"]["name"]: pod["metadata"]["labels"] for pod in random_case(seed).pods}
            pods = [
                {**pod, "metadata": {**pod["metadata"], "labels": labels[pod["metadata"]["name"]]}} for pod in base.pods
            ]
            case = Case(base.namespaces, pods, base.policies, base.outside)
            network.apply_policies(compile_policies(case.pods, case.namespaces, case.policies))
            wrong += [f"seed {seed}: {each}" for each in _wrong(bed, _expected(case))]
        return wrong

    assert in_node(user, test) == []


TEXTBOOK = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "test-network-policy", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"role": "db"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}},
                    {"namespaceSelector": {"matchLabels": {"project": "myproject"}}},
                    {"podSelector": {"matchLabels": {"role": "frontend"}}},
                ],
                "ports": [{"protocol": "TCP", "port": 6379}],
            }
        ],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]},
        ],
    },
}


def _textbook_pod(namespace: str, name: str, address: str, **labels: str) -> dict:
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"podIP": address},
    }


@as_both_users
def test_the_policy_of_the_textbook(user):
    pods = [
        _textbook_pod("default", "db", "10.244.0.2", role="db"),
        _textbook_pod("default", "frontend", "10.244.0.3", role="frontend"),
        _textbook_pod("default", "other", "10.244.0.4", role="other"),
        _textbook_pod("friends", "any", "10.244.0.5"),
        _textbook_pod("strangers", "frontend", "10.244.0.6", role="frontend"),
    ]
    namespaces = [
        {"metadata": {"name": "default", "labels": {}}},
        {"metadata": {"name": "friends", "labels": {"project": "myproject"}}},
        {"metadata": {"name": "strangers", "labels": {"project": "theirs"}}},
    ]
    hosts = {"office": "172.17.0.9", "basement": "172.17.1.9", "warehouse": "10.0.0.5", "other-site": "10.0.1.5"}
    database = "10.244.0.2"

    def test(network: NodeNetwork):
        bed = Bed(network)
        for key, address in hosts.items():
            network.attach(key, address)
        for pod in pods:
            network.attach(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}", pod["status"]["podIP"])
        for key, address in {**hosts, "default/other": "10.244.0.4", "node": "100.64.0.1"}.items():
            for port in (5978, 5979):
                bed.listen(key, address, "TCP", port)
        for port in (6379, 6380):
            bed.listen("default/db", database, "TCP", port)
        network.apply_services(
            ServiceTable((ServicePort("10.96.0.9", "TCP", 1, "default/db:redis", (Endpoint(database, 6379),)),))
        )
        network.apply_policies(compile_policies(pods, namespaces, [TEXTBOOK]))
        into = {
            Probe(source, database, "TCP", 6379): source in ("default/frontend", "friends/any", "office", "node")
            for source in (
                "default/frontend",
                "default/other",
                "friends/any",
                "strangers/frontend",
                *hosts,
                "edge",
                "node",
            )
        }
        other_port = {Probe(probe.source, database, "TCP", 6380): probe.source == "node" for probe in into}
        through_service = {Probe(probe.source, "10.96.0.9", "TCP", 1): allowed for probe, allowed in into.items()}
        out_of = {
            Probe("default/db", address, "TCP", port): (key, port) == ("warehouse", 5978)
            for key, address in {**hosts, "other": "10.244.0.4", "node": "100.64.0.1"}.items()
            for port in (5978, 5979)
        }
        return _wrong(bed, {**into, **other_port, **through_service, **out_of})

    assert in_node(user, test) == []


@as_both_users
def test_a_pod_is_isolated_before_it_is_attached(user):
    deny = {"metadata": {"name": "deny", "namespace": "x"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    pod = {"metadata": {"namespace": "x", "name": "late", "labels": {}}, "spec": {"containers": []}}

    def test(network: NodeNetwork):
        bed = Bed(network)
        network.attach("server", "10.0.0.5")
        bed.listen("server", "10.0.0.5", "TCP", 80)
        address = "10.244.0.7"
        key = ("x", "late")
        network.apply_policies(compile_policies([pod], [], [deny], {key: address}))
        network.attach("x/late", address)
        return bed.connect(Probe("x/late", "10.0.0.5", "TCP", 80), timeout=0.2)

    assert in_node(user, test) == "silent"


@as_both_users
def test_many_policies_are_put_in_force_and_taken_back(user):
    """More rules than one message of an ordinary user may hold: the change is cut, the switch is not."""
    policies = [
        {
            "metadata": {"name": f"policy-{number}", "namespace": "x"},
            "spec": {
                "podSelector": {"matchLabels": {"role": "db"}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [
                            {"ipBlock": {"cidr": f"10.{number // 250}.{number % 250}.0/24"}},
                            {"podSelector": {"matchLabels": {"n": str(number)}}},
                        ],
                        "ports": [{"port": 6379}, {"port": "web"}],
                    }
                ],
            },
        }
        for number in range(1500)
    ]
    pods = [_textbook_pod("x", "db", "10.244.0.2", role="db")]

    def test(network: NodeNetwork):
        bed = Bed(network)
        network.attach("x/db", "10.244.0.2")
        bed.listen("x/db", "10.244.0.2", "TCP", 6379)
        network.attach("allowed", "10.5.249.9")
        network.attach("stranger", "10.6.1.9")
        outcomes = []
        for table in (compile_policies(pods, [], policies), PolicyTable()):
            network.apply_policies(table)
            outcomes.append(
                [bed.connect(Probe(key, "10.244.0.2", "TCP", 6379), 0.3) for key in ("allowed", "stranger")]
            )
        return outcomes

    assert in_node(user, test) == [["open", "silent"], ["open", "open"]]

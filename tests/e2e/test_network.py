"""The node's network in real namespaces: pods, the node, Services, the edge, hosts outside the cluster."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from network_bed import Bed, Probe, as_both_users, in_child, in_node

from roadstead.node.network.capabilities import Capabilities, probe
from roadstead.node.network.links import NetworkError, NodeNetwork
from roadstead.node.network.namespaces import inside
from roadstead.node.network.netlink import NetlinkSocket, new_address
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable

pytestmark = pytest.mark.e2e

NODE, EDGE = "100.64.0.1", "100.64.0.2"
WEB, CLIENT, OUTSIDE = "10.244.0.2", "10.244.0.3", "10.0.0.5"


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _accepted_from(listener: socket.socket) -> str:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            return listener.accept()[1][0]
        except BlockingIOError:
            time.sleep(0.001)
    raise AssertionError("nobody connected")


@as_both_users
def test_everybody_reaches_everybody_under_their_own_address(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        for key, address in (("web", WEB), ("client", CLIENT), ("warehouse", OUTSIDE)):
            network.attach(key, address)
        seen = {}
        for key, address in (("web", WEB), ("warehouse", OUTSIDE), ("edge", EDGE), ("node", NODE)):
            listener = bed.listen(key, address, "TCP", 80)
            for source in ("client", "warehouse", "edge", "node", "web"):
                outcome = bed.connect(Probe(source, address, "TCP", 80))
                seen[source, key] = _accepted_from(listener) if outcome == "open" else outcome
        return seen

    addresses = {"client": CLIENT, "warehouse": OUTSIDE, "edge": EDGE, "node": NODE, "web": WEB}
    assert in_node(user, test) == {
        (source, key): addresses[source] for source in addresses for key in ("web", "warehouse", "edge", "node")
    }


@as_both_users
def test_a_detached_pod_is_gone_and_its_address_can_be_given_again(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        before = _open_descriptors()
        network.attach("client", CLIENT)
        outcomes = []
        for _ in range(3):
            network.attach("web", WEB)
            bed.listen("web", WEB, "TCP", 80)
            outcomes.append(bed.connect(Probe("client", WEB, "TCP", 80)))
            bed.listeners.popitem()[1].close()
            network.detach("web")
            outcomes.append(bed.connect(Probe("client", WEB, "TCP", 80), timeout=0.1))
        network.detach("client")
        network.detach("client")
        return outcomes, _open_descriptors() - before

    outcomes, leaked = in_node(user, test)
    assert outcomes[::2] == ["open"] * 3
    assert "open" not in outcomes[1::2]
    assert leaked == 0


@contextlib.contextmanager
def _busy_machine():
    hogs = []
    for _ in range(3):
        hogs.append(os.fork())
        while hogs[-1] == 0:
            pass
    try:
        yield
    finally:
        for hog in hogs:
            os.kill(hog, signal.SIGKILL)
            os.waitpid(hog, 0)


def test_a_pod_can_be_reached_at_once_however_busy_the_machine():
    """The kernel takes note of a new link in the background: `attach` must wait for it, or first packets are lost."""

    def test(network: NodeNetwork):
        bed = Bed(network)
        with _busy_machine():
            outcomes = []
            for number in range(1, 101):
                address = f"10.244.3.{number}"
                network.attach(address, address)
                listener = bed.listen(address, address, "TCP", 80)
                outcomes.append(bed.connect(Probe("node", address, "TCP", 80), 0.5))
                listener.close()
                network.detach(address)
        return outcomes

    assert in_node("ordinary", test) == ["open"] * 100


@as_both_users
def test_an_address_that_cannot_be_had_is_refused_by_name(user):
    def test(network: NodeNetwork):
        network.attach("default/web", WEB)
        errors = []
        for key, address in (
            ("default/other", WEB),
            ("host warehouse", NODE),
            ("default/web", CLIENT),
            ("host typo", "10.0.0"),
            ("host lo", "127.0.0.1"),
            ("host service", "10.96.0.5"),
        ):
            try:
                network.attach(key, address)
            except NetworkError as error:
                errors.append(str(error))
        return errors

    assert in_node(user, test) == [
        "could not connect default/other: default/web has the address 10.244.0.2; choose another",
        "could not connect host warehouse: the node has the address 100.64.0.1; choose another",
        "default/web is connected already",
        "could not connect host typo: '10.0.0' is not a host's IPv4 address; give it one",
        "could not connect host lo: '127.0.0.1' is not a host's IPv4 address; give it one",
        "could not connect host service: 10.96.0.5 lies in 10.96.0.0/16, the Services' range; choose another",
    ]


@as_both_users
def test_a_forged_source_address_is_dropped(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        for key, address in (("web", WEB), ("client", CLIENT)):
            network.attach(key, address)
        listener = bed.listen("web", WEB, "UDP", 53)
        with inside(network.namespace("client")):
            honest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            forger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with NetlinkSocket() as netlink:  # as a root of that namespace could
                netlink.commit([new_address(socket.if_nametoindex("eth0"), "10.244.0.99")])
            forger.bind(("10.244.0.99", 0))
        forger.sendto(b"forged", (WEB, 53))
        honest.sendto(b"honest", (WEB, 53))
        received = []
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            try:
                received.append(listener.recv(100))
            except BlockingIOError:
                time.sleep(0.01)
        return received

    assert in_node(user, test) == [b"honest"]


def _served(*endpoints: str) -> ServiceTable:
    places = tuple(Endpoint(address, 8080) for address in endpoints)
    return ServiceTable((ServicePort("10.96.0.50", "TCP", 80, "default/web:http", places),))


@as_both_users
def test_a_service_spreads_connections_and_follows_its_endpoints(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        backends = ["10.244.0.11", "10.244.0.12", "10.244.0.13"]
        network.attach("client", CLIENT)
        for backend in backends:
            network.attach(backend, backend)
            bed.listen(backend, backend, "TCP", 8080)

        def counts(source: str) -> list[int]:
            for _ in range(40):
                assert bed.connect(Probe(source, "10.96.0.50", "TCP", 80)) == "open"
            return [_drained(bed.listeners[backend, "TCP", 8080]) for backend in backends]

        network.apply_services(_served(*backends))
        spread = {source: counts(source) for source in ("client", "node", "edge")}
        network.apply_services(_served(*backends[:1]))
        one = counts("client")
        network.apply_services(_served())
        none = (
            bed.connect(Probe("client", "10.96.0.50", "TCP", 80)),
            bed.connect(Probe("node", "10.96.0.50", "TCP", 80)),
        )
        network.apply_services(_served(*backends[1:]))
        return spread, one, none, counts("client")

    spread, one, none, two = in_node(user, test)
    for source, counts in spread.items():
        assert min(counts) > 0, (source, counts)
        assert sum(counts) == 40
    assert one == [40, 0, 0]
    assert none == ("refused", "refused")
    assert two[0] == 0
    assert sum(two) == 40


def _drained(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
            count += 1
        except BlockingIOError:
            return count


@as_both_users
def test_a_pod_reaches_itself_through_its_service(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        network.attach("web", WEB)
        listener = bed.listen("web", WEB, "TCP", 8080)
        network.apply_services(_served(WEB))
        assert bed.connect(Probe("web", "10.96.0.50", "TCP", 80)) == "open"
        return _accepted_from(listener)

    assert in_node(user, test) == NODE


@as_both_users
def test_an_unknown_service_address_or_port_is_refused_at_once(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        for key, address in (("web", WEB), ("client", CLIENT)):
            network.attach(key, address)
        network.apply_services(_served(WEB))
        return {
            (source, address, port): bed.connect(Probe(source, address, "TCP", port))
            for source in ("client", "node", "edge")
            for address, port in (("10.96.0.50", 81), ("10.96.7.7", 80))
        }

    assert set(in_node(user, test).values()) == {"refused"}


@as_both_users
def test_udp_services_answer_from_the_service_address(user):
    def test(network: NodeNetwork):
        bed = Bed(network)
        for key, address in (("dns", WEB), ("client", CLIENT)):
            network.attach(key, address)
        listener = bed.listen("dns", WEB, "UDP", 53)
        network.apply_services(
            ServiceTable((ServicePort("10.96.0.10", "UDP", 53, "kube-system/kube-dns:dns", (Endpoint(WEB, 53),)),))
        )
        with inside(network.namespace("client")):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(3)
        client.sendto(b"query", ("10.96.0.10", 53))
        listener.settimeout(3)
        query, source = listener.recvfrom(100)
        listener.sendto(b"answer", source)
        return query, source[0], client.recvfrom(100)

    assert in_node(user, test) == (b"query", CLIENT, (b"answer", ("10.96.0.10", 53)))


@as_both_users
def test_a_udp_client_that_keeps_its_socket_follows_the_endpoints(user):
    def served(*addresses: str) -> ServiceTable:
        places = tuple(Endpoint(address, 53) for address in addresses)
        return ServiceTable((ServicePort("10.96.0.10", "UDP", 53, "kube-system/kube-dns:dns", places),))

    def test(network: NodeNetwork):
        bed = Bed(network)
        network.attach("client", CLIENT)
        old, new = "10.244.0.11", "10.244.0.12"
        listeners = {}
        for address in (old, new):
            network.attach(address, address)
            listeners[address] = bed.listen(address, address, "UDP", 53)
        with inside(network.namespace("client")):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("10.96.0.10", 53))
        arrived = []
        for serving in ((old,), (new,), (new, old), (old,)):
            network.apply_services(served(*serving))
            client.send(b"query")
            arrived.append([address for address, listener in listeners.items() if _received(listener)])
        return arrived

    # A flow stays where it is while its endpoint serves.
    assert in_node(user, test) == [["10.244.0.11"], ["10.244.0.12"], ["10.244.0.12"], ["10.244.0.11"]]


def _received(listener: socket.socket) -> bool:
    try:
        listener.recv(100)
    except BlockingIOError:
        return False
    return True


@as_both_users
def test_the_probe_of_this_machine_tells_what_this_file_shows(user):
    assert in_child(user, probe) == Capabilities(namespaces=True, packet_filter=True, network=True)

"""Links, addresses and routes of the node's network namespace and of each pod. Called inside netd.

Every pod hangs on a routed veth pair of its own with a /32 address and permanent neighbours: no bridge, no ARP, no
shared segment, so whatever goes from pod to pod is forwarded, and the packet filter sees it. The same holds for the
edge, from which outside clients come, and for hosts outside the cluster. The host's own network is never touched.
"""

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from roadstead.node.network import netlink, nftables
from roadstead.node.network.base_rules import ATTACHED, ITSELF, TABLE, attached, base_rules
from roadstead.node.network.conntrack import forget_stale_flows
from roadstead.node.network.namespaces import inside_new_network
from roadstead.node.network.netlink import LOOPBACK, NetlinkSocket, VethEnd
from roadstead.node.network.service_rules import service_change
from roadstead.node.network.services import ServiceTable, is_ipv4
from roadstead.node.policy.rules import PolicyRules
from roadstead.node.policy.table import PolicyChange, PolicyTable, difference

EDGE = "edge"
"""The key of the namespace from which outside clients' connections are dialled."""
_GATEWAY = "169.254.1.1"  # exists nowhere: the permanent neighbour entry is all that a route needs
_NODE_HARDWARE = bytes.fromhex("eeeeeeeeeeee")
_FIRST_LINK = 100
_LINK_SECONDS = 2.0
_POD_LINK = 100  # above the indexes of tunnel devices that some kernels put into every namespace
_UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_log = structlog.get_logger(__name__)


class NetworkError(Exception):
    """The network could not be set up as asked; the text says what, why and what to do."""


class NetworkSettings(msgspec.Struct, frozen=True):
    """Addresses of the node's own network; they exist in its namespace only, so clusters never collide."""

    node_address: str = "100.64.0.1"
    edge_address: str = "100.64.0.2"
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"


class _Link(NamedTuple):
    number: int
    address: str
    namespace: int


class NodeNetwork:
    """The node's network as netd sees it. Not thread-safe: `attach` moves the calling thread between namespaces."""

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        self.limitations: list[str] = []
        """What could not be set up here, in words for the Node's conditions; after `prepare`."""
        self._links: dict[str, _Link] = {}
        self._next_link = _FIRST_LINK
        self._services = ServiceTable()
        self._policies = PolicyRules()
        self._routes: NetlinkSocket
        self._filter: nftables.NftablesSocket

    def prepare(self) -> None:
        """Set up loopback, the node's address, forwarding, the Services' route, base rules and the edge namespace.

        Call once, in the node's network namespace. Raises NetworkError that says what the machine lacks.
        """
        node, service_range = self.settings.node_address, self.settings.service_range
        with _explained("set up the node's network; `roadstead doctor` says what this machine lacks"):
            self._routes = NetlinkSocket()
            self._routes.commit(
                [
                    netlink.link_up(LOOPBACK),
                    netlink.new_address(LOOPBACK, node),
                    # The node's own connections to Services need a route before they can be redirected.
                    netlink.new_route(service_range, LOOPBACK, source=node),
                ]
            )
            self._filter = nftables.NftablesSocket()
            self._filter.commit(base_rules(service_range))
        self.attach(EDGE, self.settings.edge_address)

    @property
    def edge_namespace(self) -> int:
        """The descriptor of the namespace from which outside clients' connections are dialled; after `prepare`."""
        return self.namespace(EDGE)

    def attach(self, key: str, address: str) -> int:
        """Create a connected network namespace with this IPv4 address and return its file descriptor.

        `key` names it for `detach` and `namespace`. Pods and hosts outside the cluster are attached alike; the address
        need not lie in the pod range. The descriptor stays owned by this object (close-on-exec); the caller may `setns`
        to it in a forked child or dial from it. Raises NetworkError when the address is taken or the kernel refuses.
        """
        self._refuse_unusable(key, address)
        with _explained(f"connect {key} with the address {address}"):
            namespace, inner = self._new_namespace()
            link = _Link(self._next_link, address, namespace)
            self._next_link += 1
            try:
                with inner:
                    self._connect(link, inner)
            except BaseException:
                os.close(namespace)  # takes the link along
                raise
        self._links[key] = link
        return namespace

    def _refuse_unusable(self, key: str, address: str) -> None:
        if key in self._links:
            raise NetworkError(f"{key} is connected already")
        if not _is_host_address(address):
            raise NetworkError(f"could not connect {key}: {address!r} is not a host's IPv4 address; give it one")
        if ipaddress.IPv4Address(address) in ipaddress.IPv4Network(self.settings.service_range):
            services = self.settings.service_range
            raise NetworkError(
                f"could not connect {key}: {address} lies in {services}, the Services' range; choose another"
            )
        taken = {link.address: name for name, link in self._links.items()} | {self.settings.node_address: "the node"}
        if address in taken:
            raise NetworkError(f"could not connect {key}: {taken[address]} has the address {address}; choose another")

    def _new_namespace(self) -> tuple[int, NetlinkSocket]:
        with inside_new_network() as namespace:
            try:
                # Ports below 1024 need no capability, as in Kubernetes' runtimes.
                _UNPRIVILEGED_PORTS.write_text("0")
            except OSError as error:
                self._limited(f"processes in pods cannot listen on ports below 1024 without privileges ({error})")
            return namespace, NetlinkSocket()

    def _limited(self, what: str) -> None:
        if what not in self.limitations:
            self.limitations.append(what)
            _log.warning("network limitation", what=what)

    def _connect(self, link: _Link, inner: NetlinkSocket) -> None:
        number, address = link.number, link.address
        hardware = b"\x02\x42" + socket.inet_aton(address)
        outside, inside = VethEnd(f"v{number}", number, _NODE_HARDWARE), VethEnd("eth0", _POD_LINK, hardware)
        self._routes.commit([netlink.new_veth(outside, inside, link.namespace)])
        inner.commit(
            [
                netlink.link_up(LOOPBACK),
                netlink.link_up(_POD_LINK),
                netlink.new_address(_POD_LINK, address),
                netlink.new_neighbour(_POD_LINK, _GATEWAY, _NODE_HARDWARE),
                netlink.new_route(f"{_GATEWAY}/32", _POD_LINK),
                netlink.new_route("0.0.0.0/0", _POD_LINK, gateway=_GATEWAY),
            ]
        )
        # Rules before routes: nothing may come from or go to an address that the packet filter does not know.
        self._admit_link(number, address)
        self._routes.commit(
            [
                netlink.forward(number),
                netlink.new_neighbour(number, address, hardware),
                netlink.new_route(f"{address}/32", number, source=self.settings.node_address),
            ]
        )
        self._await_running(number)

    def _await_running(self, number: int) -> None:
        """Wait until the kernel has noticed that both ends are up: it does so in the background (linkwatch).

        Until then the node's end throws away what it should send, and a pod's first connection would take a second
        longer. Newer kernels finish this when they are asked, so there is nothing to wait for.
        """
        deadline = time.monotonic() + _LINK_SECONDS
        while not netlink.is_link_running(self._routes.ask(netlink.get_link(number))):
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, f"link {number} does not come up")
            time.sleep(0.001)

    def _admit_link(self, number: int, address: str) -> None:
        batch = nftables.Batch(TABLE)
        sender, itself = attached(number, address)
        batch.add_elements(ATTACHED, [sender])
        batch.add_elements(ITSELF, [itself])
        self._filter.commit(batch)

    def detach(self, key: str) -> None:
        """Take a namespace off the network and close its descriptor; an unknown key is no error.

        From then on nothing goes to or comes from its address. The link itself goes with the namespace, that is with
        its last process or socket: deleting it here would wait some 30 ms for all processors.
        """
        link = self._links.pop(key, None)
        if link is None:
            return
        with _explained(f"disconnect {key}"):
            try:
                self._routes.commit([netlink.delete_route(f"{link.address}/32", link.number)])
                batch = nftables.Batch(TABLE)
                sender, itself = attached(link.number, link.address)
                batch.delete_elements(ATTACHED, [sender])
                batch.delete_elements(ITSELF, [itself])
                self._filter.commit(batch)
            finally:
                os.close(link.namespace)

    def namespace(self, key: str) -> int:
        """Return the descriptor of an attached namespace; `edge` is one. Raises KeyError."""
        return self._links[key].namespace

    def apply_services(self, table: ServiceTable) -> None:
        """Make the kernel serve exactly these Services; only differences to the last table are sent."""
        with _explained("change the rules of Services"):
            self._filter.commit(service_change(TABLE, self._services, table))
            before, self._services = self._services, table
            forget_stale_flows(before, table)

    def apply_policies(self, table: PolicyTable) -> None:
        """Make the kernel enforce exactly this table, in one atomic step; only differences are sent."""
        self.change_policies(difference(self._policies.table, table))

    def change_policies(self, change: PolicyChange) -> None:
        """The incremental path of `apply_policies`: `difference(last table, new table)`, made by the supervisor."""
        changed, rules = self._policies.changed(change)
        with _explained("change the rules of NetworkPolicies"):
            self._filter.commit(rules)
        self._policies = changed

    def close(self) -> None:
        """Close all descriptors; the kernel takes the links with the namespaces."""
        for link in self._links.values():
            os.close(link.namespace)
        self._links.clear()
        self._routes.close()
        self._filter.close()


def _is_host_address(address: str) -> bool:
    if not is_ipv4(address):
        return False
    number = ipaddress.IPv4Address(address)
    special = (number.is_loopback, number.is_link_local, number.is_multicast, number.is_unspecified, number.is_reserved)
    return not any(special)


@contextmanager
def _explained(task: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NetworkError(f"could not {task}: {error.strerror or error}") from error

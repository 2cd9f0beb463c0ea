"""Links, addresses and routes of the node's network namespace and of each pod. Called inside netd; next: `services`."""

import msgspec

from roadstead.node.network.services import ServiceTable
from roadstead.node.policy.table import PolicyChange, PolicyTable


class NetworkSettings(msgspec.Struct, frozen=True):
    """Addresses of the node's own network; they exist in its namespace only, so clusters never collide."""

    node_address: str = "100.64.0.1"
    edge_address: str = "100.64.0.2"
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"


class NodeNetwork:
    """The node's network as netd sees it. Not thread-safe: `attach` moves the calling thread between namespaces."""

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        self.edge_namespace = -1
        """File descriptor of the namespace from which outside clients' connections are dialled; after `prepare`."""
        self.limitations: list[str] = []
        """What could not be set up here, in words for the Node's conditions; after `prepare`."""

    def prepare(self) -> None:
        """Set up loopback, the node's address, forwarding, the Services' route, base rules and the edge namespace.

        Call once, in the node's network namespace. Raises NetworkError that says what the machine lacks.
        """
        raise NotImplementedError

    def attach(self, key: str, address: str) -> int:
        """Create a connected network namespace with this IPv4 address and return its file descriptor.

        `key` names it for `detach` and `namespace`. Pods and hosts outside the cluster are attached alike; the address need
        not lie in the pod range. The descriptor stays owned by this object (close-on-exec); the caller may `setns` to it
        in a forked child or dial from it. Raises NetworkError when the address is taken or the kernel refuses.
        """
        raise NotImplementedError

    def detach(self, key: str) -> None:
        """Take a namespace off the network and close its descriptor; an unknown key is no error."""
        raise NotImplementedError

    def namespace(self, key: str) -> int:
        """Return the descriptor of an attached namespace; `edge` is one. Raises KeyError."""
        raise NotImplementedError

    def apply_services(self, table: ServiceTable) -> None:
        """Make the kernel serve exactly these Services; only differences to the last table are sent."""
        raise NotImplementedError

    def apply_policies(self, table: PolicyTable) -> None:
        """Make the kernel enforce exactly this table, in one atomic step; only differences are sent."""
        raise NotImplementedError

    def change_policies(self, change: PolicyChange) -> None:
        """The incremental path of `apply_policies`: apply `difference(last table, new table)`, made by the supervisor."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all descriptors; the kernel takes the links with the namespaces."""
        raise NotImplementedError

"""The processes that are forked from the supervisor before it becomes anything: netd, and the relay.

Both end when their control socket does, that is with the supervisor, however it ends.
"""

import socket
from dataclasses import dataclass

from roadstead.cluster.configuration import ClusterConfiguration
from roadstead.cluster.layout import Layout
from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import NetdUnavailable, wait_ready
from roadstead.node.network.links import NetworkSettings


@dataclass(frozen=True, slots=True)
class Children:
    """The control sockets; `unenforced` says why there are no namespaces, `limitations` what else is lacking."""

    netd: socket.socket
    settings: NetworkSettings
    unenforced: str
    limitations: tuple[str, ...]

    @property
    def isolated(self) -> bool:
        """Say whether pods have namespaces of their own."""
        return not self.unenforced


def fork_children(configuration: ClusterConfiguration, layout: Layout) -> Children:
    """Fork netd, with namespaces if they are wanted and to be had. Call it before any thread exists.

    Raises NetdUnavailable when namespaces are demanded and this machine does not give them.
    """
    settings = NetworkSettings(pod_range=configuration.pod_cidr, service_range=configuration.service_cidr)
    why = "isolation `none` was asked for"
    if configuration.isolation != "none":
        control = fork_netd(settings, layout.root)
        try:
            limitations = wait_ready(control)
        except NetdUnavailable as error:
            control.close()
            if configuration.isolation == "namespaces":
                raise
            why = str(error)
        else:
            return Children(control, settings, "", tuple(limitations))
    control = fork_netd(settings, layout.root, isolated=False)
    return Children(control, settings, why, tuple(wait_ready(control)))

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
from roadstead.node.network.relay import fork_relay


@dataclass(frozen=True, slots=True)
class Children:
    """The control sockets; `unenforced` says why there are no namespaces, `limitations` what else is lacking."""

    netd: socket.socket
    relay: socket.socket
    loan: socket.socket | None
    settings: NetworkSettings
    unenforced: str
    limitations: tuple[str, ...]

    @property
    def isolated(self) -> bool:
        """Say whether pods have namespaces of their own."""
        return not self.unenforced


def fork_children(configuration: ClusterConfiguration, layout: Layout) -> Children:
    """Fork netd, with namespaces if they are wanted and to be had, and the relay. Call it before any thread exists.

    Raises NetdUnavailable when namespaces are demanded and this machine does not give them.
    """
    settings = NetworkSettings(pod_range=configuration.pod_cidr, service_range=configuration.service_cidr)
    control, unenforced, limitations = _fork_netd(configuration, settings, layout)
    relay, loan = fork_relay(lent_sockets=not unenforced)
    return Children(control, relay, loan, settings, unenforced, tuple(limitations))


def _fork_netd(
    configuration: ClusterConfiguration, settings: NetworkSettings, layout: Layout
) -> tuple[socket.socket, str, list[str]]:
    unenforced = "isolation `none` was asked for"
    if configuration.isolation != "none":
        control = fork_netd(settings, layout.root)
        try:
            return control, "", wait_ready(control)
        except NetdUnavailable as error:
            control.close()
            if configuration.isolation == "namespaces":
                raise NetdUnavailable(
                    f"isolation by namespaces was asked for, and this machine does not give them ({error}); "
                    "`roadstead doctor` says what to do, and isolation `auto` goes on without"
                ) from error
            unenforced = str(error)
    control = fork_netd(settings, layout.root, isolated=False)
    return control, unenforced, wait_ready(control)

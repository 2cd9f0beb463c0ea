"""What this machine lets the node's network do: real probes in a forked child, for Node conditions and `doctor`.

Files under /proc/sys say what is configured, not what a container's seccomp filter or an AppArmor profile permits; so
each step is tried in the order in which the node needs it, and the first that fails explains the rest.
"""

import os
import sys

import msgspec

from roadstead.node.network.base_rules import base_rules
from roadstead.node.network.links import NetworkError, NetworkSettings, NodeNetwork
from roadstead.node.network.namespaces import NEW_MOUNT, NEW_NETWORK, become_namespace_root
from roadstead.node.network.nftables import NftablesSocket

_LARGEST_ANSWER = 1 << 16


class Capabilities(msgspec.Struct, frozen=True):
    """What was tried and worked; `missing` says of each thing that did not what it means and what to do."""

    namespaces: bool = False
    packet_filter: bool = False
    network: bool = False
    missing: tuple[str, ...] = ()

    @property
    def enforces_policies(self) -> bool:
        """Say whether NetworkPolicies can be enforced here."""
        return self.network


def probe() -> Capabilities:
    """Try everything in a forked child that ends at once; neither this process nor the host's network changes."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.write(writer, msgspec.json.encode(_try_everything()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        encoded = answer.read(_LARGEST_ANSWER)
    os.waitpid(child, 0)
    if not encoded:
        return Capabilities(missing=("the probe of this machine's network ended without an answer",))
    return msgspec.json.decode(encoded, type=Capabilities)


def _try_everything() -> Capabilities:
    try:
        become_namespace_root(NEW_NETWORK | NEW_MOUNT)
    except OSError as error:
        return Capabilities(missing=(_without_namespaces(error),))
    try:
        packet_filter = NftablesSocket()
        packet_filter.commit(base_rules(NetworkSettings().service_range))
        packet_filter.close()
    except OSError as error:
        return Capabilities(namespaces=True, missing=(_without_packet_filter(error),))
    return _try_network()


def _try_network() -> Capabilities:
    network = NodeNetwork(NetworkSettings())
    try:
        network.prepare()
    except NetworkError as error:
        return Capabilities(namespaces=True, packet_filter=True, missing=(str(error),))
    return Capabilities(True, True, True, tuple(network.limitations))


def _without_namespaces(error: OSError) -> str:
    remedies = (
        "allow user namespaces (`sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, "
        "`sysctl user.max_user_namespaces=15000` where they are switched off, "
        "`--security-opt seccomp=unconfined` in Docker)"
    )
    return (
        f"no network namespaces ({error.strerror or error}): pods share this machine's network and NetworkPolicies "
        f"are not enforced; {remedies} or run as root"
    )


def _without_packet_filter(error: OSError) -> str:
    return (
        f"no nf_tables in the kernel ({error.strerror or error}): Services and NetworkPolicies cannot be served by it; "
        "load it as root with `modprobe -a nf_tables nft_ct nft_nat nft_masq nft_reject_ipv4 nft_numgen`"
    )

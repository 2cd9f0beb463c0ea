"""The packet filter that every node has before its first pod: one table, its base chains, maps and sets. Pure.

In the order in which a packet meets them:

    prerouting  -300  from-a-stranger   a link may send only from its own address, or it is dropped
    prerouting  -100  to-services       Service address → endpoint (nat; the same at `output` for the node itself)
    prerouting     0  unserved          whoever still asks for a Service address is refused (the same at `output`)
    forward        0  egress            what may the source open?   (`policy.rules` fills the map)
    forward        1  ingress           what may the destination accept?
    input          0  egress-to-node    what may a pod open to the node itself?
    postrouting  100  hairpin           a pod that reached itself through a Service must not see its own address

`accept` ends a base chain only, so egress and ingress must agree without marks. The node's own packets pass
`output`, never `forward`: probes are not filtered. Next: `service_rules` and `policy.rules` fill the maps.
"""

import ipaddress
import struct

from roadstead.node.network.expressions import (
    REGISTER,
    accept,
    counted,
    drop,
    equals,
    follow,
    is_in,
    is_reply,
    load_destination,
    load_interface,
    load_port,
    load_protocol,
    load_source,
    masked,
    masquerade,
    refuse_connection,
    refuse_datagram,
)
from roadstead.node.network.nftables import PROTOCOLS, Base, Batch, Element, Hook, Key, Set, address_key
from roadstead.node.network.service_rules import SERVICES

TABLE = "roadstead"
ATTACHED, ITSELF = "attached", "itself"
EGRESS, INGRESS = "egress-of", "ingress-of"
"""The verdict maps from a pod's address to the chain of the policies that isolate it."""


def base_rules(service_range: str) -> Batch:
    """Return the batch that makes the table anew."""
    batch = Batch(TABLE)
    batch.new_table()
    batch.delete_table()
    batch.new_table()
    batch.new_set(ATTACHED, Set((Key.INTERFACE, Key.IPV4)))
    batch.new_set(ITSELF, Set((Key.IPV4, Key.IPV4)))
    batch.new_set(SERVICES, Set((Key.IPV4, Key.PROTOCOL, Key.PORT), verdicts=True))
    batch.new_set(EGRESS, Set((Key.IPV4,), verdicts=True))
    batch.new_set(INGRESS, Set((Key.IPV4,), verdicts=True))
    _links(batch)
    _services(batch, ipaddress.IPv4Network(service_range))
    _policies(batch)
    return batch


def attached(index: int, address: str) -> tuple[Element, Element]:
    """Return the members of `ATTACHED` and `ITSELF` that belong to a link and its address."""
    packed = address_key(address)
    return Element(struct.pack("=I", index) + packed), Element(packed + packed)


def _links(batch: Batch) -> None:
    batch.new_chain("from-a-stranger", Base(Hook.PREROUTING, -300))
    from_elsewhere = load_interface() + equals(struct.pack("=I", 1), negate=True)
    own_address = load_interface() + load_source(REGISTER + 1) + is_in(ATTACHED, negate=True)
    batch.new_rule("from-a-stranger", from_elsewhere, own_address, counted(), drop(), comment="not the link's address")
    batch.new_chain("hairpin", Base(Hook.POSTROUTING, 100, "nat"))
    batch.new_rule("hairpin", _to_itself(), masquerade(), comment="a pod reached itself through a Service")


def _to_itself() -> bytes:
    return load_source() + load_destination(REGISTER + 1) + is_in(ITSELF)


def _services(batch: Batch, addresses: ipaddress.IPv4Network) -> None:
    wanted = load_destination() + load_protocol(REGISTER + 1) + load_port(REGISTER + 2) + follow(SERVICES)
    in_range = load_destination() + masked(addresses.netmask.packed) + equals(addresses.network_address.packed)
    for hook in (Hook.PREROUTING, Hook.OUTPUT):
        name = hook.name.lower()
        batch.new_chain(f"to-services-{name}", Base(hook, -100, "nat"))
        batch.new_rule(f"to-services-{name}", wanted)
        batch.new_chain(f"unserved-{name}", Base(hook, 0))
        is_tcp = load_protocol() + equals(bytes([PROTOCOLS["TCP"]]))
        why = "no such Service, or no endpoints"
        batch.new_rule(f"unserved-{name}", in_range, is_tcp, counted(), refuse_connection(), comment=why)
        batch.new_rule(f"unserved-{name}", in_range, counted(), refuse_datagram(), comment=why)


def _policies(batch: Batch) -> None:
    batch.new_chain("egress", Base(Hook.FORWARD, 0))
    batch.new_chain("ingress", Base(Hook.FORWARD, 1))
    batch.new_chain("egress-to-node", Base(Hook.INPUT, 0))
    for chain in ("egress", "ingress", "egress-to-node"):
        batch.new_rule(chain, is_reply(), accept(), comment="answers to what was allowed")
    for chain in ("egress", "ingress"):
        batch.new_rule(chain, _to_itself(), accept(), comment="a pod cannot block itself")
    batch.new_rule("egress", load_source(), follow(EGRESS))
    batch.new_rule("ingress", load_destination(), follow(INGRESS))
    batch.new_rule("egress-to-node", load_source(), follow(EGRESS))

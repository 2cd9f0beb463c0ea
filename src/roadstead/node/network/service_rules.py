"""The difference between two `ServiceTable`s as packet filter changes. Pure; `NodeNetwork.apply_services` commits it.

One verdict map leads from `address . protocol . port` to a chain of the Service port, which picks an endpoint at
random. Chains are named after what they contain: a changed Service gets a new chain, the map is switched to it, and the
old chain goes.
"""

import sys
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from roadstead.node.network.expressions import (
    REGISTER,
    field_value,
    goto_value,
    load_random,
    load_value,
    mapped,
    redirect,
)
from roadstead.node.network.nftables import (
    PROTOCOLS,
    Change,
    Element,
    Key,
    Set,
    address_key,
    new_change,
    padded,
    port_key,
)
from roadstead.node.network.services import Endpoint, ServicePort, ServiceTable

SERVICES = "services"
"""The verdict map that `base_rules` makes: `address . protocol . port` → the chain of the Service port."""


def service_change(table_name: str, old: ServiceTable, new: ServiceTable) -> Change:
    """Return what makes the kernel serve `new` when it serves `old`."""
    change = new_change(table_name)
    before, after = _served(old), _served(new)
    for key, port in after.items():
        if before.get(key) != port:
            _make(change, port)
    gone = [port for key, port in before.items() if after.get(key) != port]
    made = [port for key, port in after.items() if before.get(key) != port]
    change.switch.delete_elements(SERVICES, [Element(_key(port)) for port in gone])
    change.switch.add_elements(SERVICES, [Element(_key(port), value=goto_value(_chain(port))) for port in made])
    for port in gone:
        change.clean.delete_chain(_chain(port))
        if len(port.endpoints) > 1:
            change.clean.delete_set(_chain(port))
    return change


def _served(table: ServiceTable) -> Mapping[tuple[str, str, int], ServicePort]:
    """Return the ports that lead somewhere; the rest are refused by the base rules, as is any other Service address."""
    return {
        (port.address, port.protocol, port.port): port
        for port in table.ports
        if port.endpoints and port.protocol in PROTOCOLS
    }


def _key(port: ServicePort) -> bytes:
    return address_key(port.address) + port_key(port.protocol, port.port)


def _chain(port: ServicePort) -> str:
    return "service-" + blake2b(msgspec.msgpack.encode(port), digest_size=8).hexdigest()


def _make(change: Change, port: ServicePort) -> None:
    batch, chain = change.prepare, _chain(port)
    batch.new_chain(chain)
    if len(port.endpoints) == 1:
        value = _destination(port.endpoints[0])
        pick = load_value(value[:4]) + load_value(value[4:], REGISTER + 1)
    else:
        batch.new_set(chain, Set((Key.INTEGER,), values=(Key.IPV4, Key.PORT)))
        batch.add_elements(chain, [_choice(number, endpoint) for number, endpoint in enumerate(port.endpoints)])
        pick = load_random(len(port.endpoints)) + mapped(chain)
    batch.new_rule(chain, pick, redirect(), comment=port.name)


def _destination(endpoint: Endpoint) -> bytes:
    return address_key(endpoint.address) + padded(endpoint.port.to_bytes(2, "big"))


def _choice(number: int, endpoint: Endpoint) -> Element:
    return Element(number.to_bytes(4, sys.byteorder), value=field_value(_destination(endpoint)))

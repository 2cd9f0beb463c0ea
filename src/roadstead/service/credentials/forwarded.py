"""`x-forwarded-client-cert`: what a gateway says about the certificate that its own client showed. Pure.

Envoy writes it (`By=…;Hash=…;Subject="…";URI=spiffe://…;DNS=…`, one such element per hop, the nearest last). Anybody
can write it, so it counts only if the connection comes from a gateway that is trusted by name or by network.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

import msgspec

HEADER = "x-forwarded-client-cert"
_PAIR = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^,;"]*)\s*([,;]|\Z)')
_ESCAPED = re.compile(r"\\(.)")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Names(msgspec.Struct, frozen=True):
    """The names in a certificate: its URIs and its DNS names."""

    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()


class TrustedGateways(msgspec.Struct, frozen=True):
    """Whose word counts: certificate names and networks. By default nobody's."""

    names: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str] = (), networks: Iterable[str] = ()) -> "TrustedGateways":
        """Return the gateways with these certificate names, and whatever is in these networks ("10.0.0.0/8").

        A network is the weaker sign: every pod in it could write the header. Raises ValueError if one is no network.
        """
        return cls(frozenset(names), tuple(ipaddress.ip_network(network) for network in networks))

    def include(self, names: Names, address: str) -> bool:
        """Tell whether a peer with this certificate and address is one of them."""
        if self.names and not self.names.isdisjoint((*names.uris, *names.dns)):
            return True
        return bool(self.networks) and self._in_networks(address)

    def _in_networks(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found
        return any(plain in network for network in self.networks)


def forwarded_names(metadata: Iterable[tuple[str, str | bytes]]) -> Names | None:
    """Return the names that the nearest hop saw; None without the header. Raise ValueError if it cannot be read.

    Of several elements only the last is the gateway's own observation; the others are what it was told.
    """
    values = [value for key, value in metadata if key == HEADER]
    if not values:
        return None
    if len(values) > 1 or not isinstance(values[0], str):
        raise ValueError(f"metadata {HEADER!r} is binary or there more than once")
    nearest = _last_element(values[0])
    return Names(_values(nearest, "uri"), _values(nearest, "dns"))


def _last_element(text: str) -> Sequence[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    position, separator = 0, ""
    while position < len(text) or separator:
        found = _PAIR.match(text, position)
        if found is None:
            raise ValueError(f"metadata {HEADER!r} cannot be understood at character {position}")
        if separator == ",":
            pairs = []
        pairs.append((found[1].lower(), _unquoted(found[2])))
        position, separator = found.end(), found[3]
    return pairs


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value.strip()


def _values(pairs: Iterable[tuple[str, str]], wanted: str) -> tuple[str, ...]:
    return tuple(value for key, value in pairs if key == wanted and value)

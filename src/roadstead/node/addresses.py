"""Which address a pod gets: the next free one of the range, so that a freed address rests before it is reused."""

import ipaddress
from collections.abc import Iterable


class AddressesExhausted(Exception):
    """Every address of the pod range is in use."""


class AddressPool:
    """The addresses of one range; the first and the last ones are never given out, nor are those `reserved`."""

    def __init__(self, network: ipaddress.IPv4Network, reserved: Iterable[str] = ()) -> None:
        self._first, self._size = int(network.network_address), network.num_addresses
        self._used = {int(ipaddress.IPv4Address(address)) for address in reserved}
        self._next = 1
        self._network = network

    def allocate(self) -> str:
        """Return an address that nobody has. Raises AddressesExhausted."""
        for step in range(self._size):
            offset = (self._next + step) % self._size
            number = self._first + offset
            if 1 < offset < self._size - 1 and number not in self._used:
                self._used.add(number)
                self._next = offset + 1
                return str(ipaddress.IPv4Address(number))
        raise AddressesExhausted(f"no free address in the pod range {self._network}: delete pods or widen the range")

    def release(self, address: str) -> None:
        """Take an address back."""
        if address:
            self._used.discard(int(ipaddress.IPv4Address(address)))

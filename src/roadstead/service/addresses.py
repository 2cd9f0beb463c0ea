"""New pods behind a name: a channel of grpc's looks a name up again only when one of its connections ends.

So pods that are added to a headless Service would have no calls until then, minutes later. Here the name is looked up
now and then, while calls are made, and `following.py` opens a channel that knows the new addresses. Those that go are
grpc's own concern: their connections end.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from roadstead.lib.tasks import spawn

Lookup: TypeAlias = Callable[[str, int], Awaitable[frozenset[str]]]
# Seconds between two look-ups. After a change the next one is taken up a while later, twice as late each time up to the
# longest: names whose addresses take turns would have connections opened all the time.
_INTERVAL = 5.0
_LONGEST = 300.0
_NO_NAMES = ("unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:", "google-c2p:")
_PORT = 443


class Name(NamedTuple):
    """A host and a port to look up."""

    host: str
    port: int


def name_in(target: str) -> Name | None:
    """Return the name that grpc would have this machine look up for a target; None if that is none, or an address."""
    if target.startswith(_NO_NAMES):
        return None
    rest = target.removeprefix("dns:").removeprefix("///")
    host, colon, port = rest.rpartition(":")
    if not colon:
        host, port = rest, str(_PORT)
    if not host or not port.isdecimal() or "/" in host or _is_address(host.strip("[]")):
        return None
    return Name(host, int(port))


class Addresses:
    """How often a name has got an address that it had not when it was last taken up; a number that grows.

    `clock` is that of `time.monotonic`, `lookup` raises OSError.
    """

    def __init__(self, name: Name, lookup: "Lookup | None" = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._lookup = lookup or _looked_up
        self._clock = clock
        self._generation = 0
        # None until the first answer, which grpc has at the same time.
        self._known: frozenset[str] | None = None
        self._next_look = 0.0
        self._next_change = 0.0
        self._pause = _INTERVAL
        self._looking: asyncio.Task[None] | None = None

    def __call__(self) -> int:
        """Return the number, and begin to look again if it is time."""
        if self._looking is None and self._clock() >= self._next_look and _has_loop():
            self._looking = spawn(self._look(), name=f"addresses of {self._name.host}")
            self._looking.add_done_callback(self._looked)
        return self._generation

    def close(self) -> None:
        """Look no more."""
        self._next_look = float("inf")
        if self._looking is not None:
            self._looking.cancel()

    def _looked(self, _task: "asyncio.Task[None]") -> None:
        self._looking = None
        self._next_look = max(self._next_look, self._clock() + _INTERVAL)

    async def _look(self) -> None:
        try:
            found = await self._lookup(*self._name)
        except (OSError, UnicodeError) as error:
            # A name without pods is none to DNS. What else goes wrong says nothing of them.
            if self._known is not None and getattr(error, "errno", None) not in _NO_NAME:
                return
            found = frozenset()
        self._take(found)

    def _take(self, found: frozenset[str]) -> None:
        if self._known is None:
            self._known = found
            return
        self._known &= found
        now = self._clock()
        if found == self._known or now < self._next_change:
            return
        # Quiet for long: what comes next is news again, and not the next turn.
        self._pause = _INTERVAL if now >= self._next_change + _LONGEST else min(self._pause * 2, _LONGEST)
        self._next_change = now + self._pause
        self._known = found
        self._generation += 1


_NO_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


async def _looked_up(host: str, port: int) -> frozenset[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return frozenset(str(address[0]) for *_, address in found)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True

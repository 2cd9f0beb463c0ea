"""What an Envoy's pod does before it ends: let its clients go elsewhere, and let it stop only when they have.

Envoy itself stops at once when it is told to, in the middle of calls. So its container has this program as its preStop
hook (`infra`), which runs in the pod and needs nothing but Python:

    settle   the pod is no endpoint of its Service any more, but not everybody knows yet: serve what still comes
    leave    ask Envoy to end every connection: GOAWAY on HTTP/2, also on an idle one or one that only carries a stream,
             `Connection: close` on HTTP/1.1; calls that are open go on
    wait     until no client is connected any more, or the time is over

Envoy is asked through a file: its overload manager reads a pressure from there, which shortens the life of connections
to nothing (`infra`). That needs no admin interface, which pods on the host's network have not, and unlike Envoy's own
draining it does not wait for a connection's next answer. Who is connected stands in the kernel's tables.
"""

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

FOLDER_VARIABLE = "DRAIN_FOLDER"
ADDRESS_VARIABLE = "LISTEN_ADDRESS"
PRESSURE_FILE = "pressure"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _LISTENING = "01", "0A"
_LOOK_SECONDS = 0.1


class Socket(NamedTuple):
    """One line of the kernel's table: the local address in the kernel's hexadecimal, the port, and the state."""

    address: str
    port: int
    state: str


def sockets(table: str) -> list[Socket]:
    """Return the TCP sockets that a table (`/proc/net/tcp`, `/proc/net/tcp6`) lists."""
    found = []
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, _, port = local.rpartition(":")
        found.append(Socket(address, int(port, 16), state))
    return found


def clients(found: Iterable[Socket], address: str, but: frozenset[int] = frozenset()) -> int:
    """Count the connections to what listens on `address`, an IPv4 address (`0.0.0.0`: on any), but for some ports."""
    found = list(found)
    ours = None if address == "0.0.0.0" else socket.inet_aton(address)[::-1].hex().upper()
    listening = {
        (each.address, each.port)
        for each in found
        if each.state == _LISTENING and each.port not in but and ours in (None, each.address)
    }
    everywhere = {port for where, port in listening if not where.strip("0")}
    return sum(
        each.state == _ESTABLISHED and ((each.address, each.port) in listening or each.port in everywhere)
        for each in found
    )


def drain(
    leave: Callable[[], None],
    count: Callable[[], int],
    *,
    settle: float,
    within: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Settle, make clients leave, and wait; return how many are still there when `within` seconds are over."""
    end = clock() + within
    sleep(min(settle, within))
    leave()
    while (left := count()) and clock() < end:
        sleep(_LOOK_SECONDS)
    return left


def press(folder: Path) -> None:
    """Ask the Envoy that watches this folder to end its connections; it notices files that are moved here."""
    written = folder / f"{PRESSURE_FILE}.new"
    written.write_text("1")
    written.rename(folder / PRESSURE_FILE)


def _connected(address: str, but: frozenset[int]) -> int:
    found = [each for table in _TABLES if table.exists() for each in sockets(table.read_text())]
    return clients(found, address, but)


def main(arguments: list[str] | None = None) -> int:
    """Run as a preStop hook. Clients that have not left are no failure: their time is over."""
    parser = argparse.ArgumentParser(prog="python -m roadstead.gateway.drain", description="Drain this pod's Envoy.")
    parser.add_argument("--settle", type=float, default=3, help="seconds before clients are asked to leave")
    parser.add_argument("--within", type=float, default=55, help="seconds for all of it")
    parser.add_argument("--but", type=int, nargs="*", default=[], help="ports whose connections do not count")
    options = parser.parse_args(arguments)
    folder, address = Path(os.environ[FOLDER_VARIABLE]), os.environ.get(ADDRESS_VARIABLE, "0.0.0.0")
    but = frozenset(options.but)
    drain(lambda: press(folder), lambda: _connected(address, but), settle=options.settle, within=options.within)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ports for programs that have to be told theirs before they start."""

import random
import socket

# Below the range from which the kernel takes ports for others (net.ipv4.ip_local_port_range): a port that is free when
# it is chosen is not handed to another server or client of the same test before its program binds it.
_RANGE = range(20_000, 32_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nobody listens."""
    while True:
        port = random.choice(_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port

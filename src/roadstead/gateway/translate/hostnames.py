"""Host names of listeners and routes: exact (`foo.com`), wildcard (`*.foo.com`, one or more labels), or any (`*`).

The same rules as Envoy's virtual host domains, so that what is decided here is what happens there.
"""

import re
from collections.abc import Iterator

ANY = "*"
_LONGEST = 253
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def normal(hostname: str) -> str:
    """Return a host name in lower case; an absent one is any."""
    return hostname.lower() or ANY


def covers(pattern: str, hostname: str) -> bool:
    """Say whether every host that `hostname` stands for is one that `pattern` stands for."""
    if pattern in (ANY, hostname):
        return True
    return pattern.startswith("*.") and hostname.removeprefix("*").endswith(pattern[1:]) and hostname != pattern[2:]


def covering(hostname: str) -> Iterator[str]:
    """Yield every pattern that covers a host name, the most specific first, without asking each pattern there is."""
    yield hostname
    rest = hostname.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    if hostname != ANY:
        yield ANY


def intersection(one: str, other: str) -> str | None:
    """Return what both stand for (the more specific of the two), or None."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def specificity(hostname: str) -> tuple[int, int]:
    """Return a key that grows with precedence: characters of a non-wildcard host name, then characters at all."""
    if hostname == ANY:
        return (0, 0)
    return (0 if hostname.startswith("*.") else len(hostname), len(hostname))


def certificate_covers(name: str, hostname: str) -> bool:
    """Say whether a certificate's name is valid for a host (RFC 6125: a wildcard stands for exactly one label).

    A wildcard host is covered by the same wildcard only.
    """
    name, hostname = name.lower().rstrip("."), hostname.lower()
    if name == hostname:
        return True
    label, dot, rest = hostname.partition(".")
    return bool(dot) and label != "*" and name == f"*.{rest}"


def is_hostname(name: str) -> bool:
    """Say whether this is a host name, a wildcard, or any: what Gateway API's Hostname and Envoy both take."""
    return name == ANY or (len(name) <= _LONGEST and _HOSTNAME.fullmatch(name) is not None)

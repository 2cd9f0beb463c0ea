"""Large route tables are sent in pieces, so that one changed host is not paid for by thousands of others.

Envoy builds a RouteConfiguration anew as a whole, whatever has changed in it: some 25 µs for each host. So the hosts of
a table that is large are spread over pieces by a hash of their name, each a RouteConfiguration of its own, and a scope
for each domain says where it is. Wildcards, which no scope can stand for, share one piece; it is asked where no scope
is found, so every request meets the very host that it would meet in the whole table. Finding a scope costs each request
a microsecond, so a table that is small is one piece without scopes. Once spread a table stays so: the change makes a
listener anew. Next: `scopes`, how Envoy comes from a request to a scope.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from zlib import crc32

from roadstead.gateway import ir

_One = TypeVar("_One")
PIECES = 256
"""For exact host names, of each large table; those that have no host do not exist."""
SPREAD_FROM = 128
"""So many exact host names make a table large."""
ANY = "*"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the host of a domain is: the name of a piece. The domain `*` stands for all that have no scope."""

    table: str
    domain: str
    piece: str

    @property
    def name(self) -> str:
        """Unique among the scopes of all tables."""
        return f"{self.table}/{self.domain}"


@dataclass(slots=True)
class Difference:
    """What is new or changed, and the names of what is gone; `hosts` and `hosts_gone` are of all tables together."""

    pieces: dict[str, ir.RouteTable] = field(default_factory=dict)
    pieces_gone: set[str] = field(default_factory=set)
    scopes: dict[str, Scope] = field(default_factory=dict)
    scopes_gone: set[str] = field(default_factory=set)
    hosts: list[ir.VirtualHost] = field(default_factory=list)
    hosts_gone: list[ir.VirtualHost] = field(default_factory=list)


class Tables:
    """The tables of a proxy, as they change; `spread` are those that are sent in pieces."""

    def __init__(self) -> None:
        self.spread: set[str] = set()
        self._hosts: dict[str, tuple[ir.VirtualHost, ...]] = {}
        self._pieces: dict[str, dict[str, ir.VirtualHost]] = {}

    def update(self, tables: Iterable[ir.RouteTable]) -> Difference:
        """Take the tables as they are now; return how they differ from those before."""
        now = {table.name: table.virtual_hosts for table in tables}
        difference = Difference()
        for name in {**self._hosts, **now}:
            before, hosts = self._hosts.get(name), now.get(name)
            if hosts is not None and name not in self.spread and _is_large(hosts):
                if before is not None:
                    self._update(name, before, None, difference)
                    before = None
                self.spread.add(name)
            self._update(name, before, hosts, difference)
            if hosts is None:
                self.spread.discard(name)
        self._hosts = now
        return difference

    def _update(
        self,
        table: str,
        before: tuple[ir.VirtualHost, ...] | None,
        now: tuple[ir.VirtualHost, ...] | None,
        difference: Difference,
    ) -> None:
        """Note how one table differs; None stands for one that is not there."""
        gone, new = changed_between(before or (), now or ())
        difference.hosts_gone += gone
        difference.hosts += new
        spread = table in self.spread
        first = rest_of(table) if spread else table
        touched = {piece_of(table, host, spread=spread) for host in (*gone, *new)}
        for host in gone:
            self._pieces[piece_of(table, host, spread=spread)].pop(host.name, None)
        for host in new:
            self._pieces.setdefault(piece_of(table, host, spread=spread), {})[host.name] = host
        for piece in touched | ({first} if before is None or now is None else set()):
            self._touch(piece, difference, kept=piece == first and now is not None)
        if spread:
            self._rescope(table, gone, new, difference)
            if before is None:
                difference.scopes[any_scope(table)] = Scope(table, ANY, first)
            elif now is None:
                difference.scopes_gone.add(any_scope(table))

    def _rescope(
        self, table: str, gone: Iterable[ir.VirtualHost], new: Iterable[ir.VirtualHost], difference: Difference
    ) -> None:
        difference.scopes_gone |= {scope.name for host in gone for scope in _scopes(table, host)}
        difference.scopes |= {scope.name: scope for host in new for scope in _scopes(table, host)}
        difference.scopes_gone -= difference.scopes.keys()

    def _touch(self, piece: str, difference: Difference, *, kept: bool) -> None:
        hosts = self._pieces.get(piece, {})
        if hosts or kept:
            difference.pieces[piece] = ir.RouteTable(piece, tuple(hosts[name] for name in sorted(hosts)))
        else:
            self._pieces.pop(piece, None)
            difference.pieces_gone.add(piece)


def any_scope(table: str) -> str:
    """Return the name of the scope of all hosts of a table that have none of their own."""
    return f"{table}/{ANY}"


def table_of(scope: str) -> str:
    """Return the table that a scope, by its name, belongs to."""
    return scope.rpartition("/")[0]


def table_of_piece(piece: str) -> str:
    """Return the table that a piece, by its name, belongs to."""
    return piece.partition("#")[0]


def rest_of(table: str) -> str:
    """Return the name of the piece of a large table that holds what no scope can stand for."""
    return f"{table}#"


def piece_of(table: str, host: ir.VirtualHost, *, spread: bool = True) -> str:
    """Return the name of the piece that holds a host."""
    if not spread:
        return table
    if not _is_exact(host):
        return rest_of(table)
    return f"{table}#{crc32(host.domains[0].encode(errors='replace')) % PIECES:02x}"


def is_of_many(piece: str) -> bool:
    """Say whether a piece, by its name, is one of a large table."""
    return "#" in piece


def piece_named(tables: Iterable[ir.RouteTable], name: str) -> ir.RouteTable | None:
    """Return the piece of this name, or None if there is no such table."""
    table = next((one for one in tables if one.name == table_of_piece(name)), None)
    if table is None:
        return None
    hosts = {one.name: one for one in table.virtual_hosts if piece_of(table.name, one, spread=is_of_many(name)) == name}
    return ir.RouteTable(name, tuple(hosts[each] for each in sorted(hosts)))


def _is_exact(host: ir.VirtualHost) -> bool:
    return bool(host.domains) and not any(domain.startswith(ANY) for domain in host.domains)


def _is_large(hosts: Sequence[ir.VirtualHost]) -> bool:
    return len(hosts) > SPREAD_FROM and sum(map(_is_exact, hosts)) > SPREAD_FROM


def changed_between(before: Sequence[_One], now: Sequence[_One]) -> tuple[list[_One], list[_One]]:
    """Return what is gone and what is new, by identity. Both are sorted alike: little lies between their same ends."""
    if before is now:
        return [], []
    start = _alike(before, now)
    end = _alike(reversed(before[start:]), reversed(now[start:]))
    old, new = before[start : len(before) - end], now[start : len(now) - end]
    known, wanted = {id(one) for one in old}, {id(one) for one in new}
    return [one for one in old if id(one) not in wanted], [one for one in new if id(one) not in known]


def _alike(one: Iterable[object], other: Iterable[object]) -> int:
    """Return how many of the first elements are the very same."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine is not theirs:
            break
        count += 1
    return count


def _scopes(table: str, host: ir.VirtualHost) -> Iterator[Scope]:
    if _is_exact(host):
        piece = piece_of(table, host)
        yield from (Scope(table, domain.lower(), piece) for domain in host.domains)

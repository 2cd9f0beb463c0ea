"""Route tables are sent in pieces, so that one changed host is not paid for by thousands of others.

Envoy builds a RouteConfiguration anew as a whole, whatever has changed in it: some 25 µs for each host. So the hosts of
a table are spread over pieces by a hash of their name, each a RouteConfiguration of its own, and a scope for each
domain says where it is. Wildcards, which no scope can stand for, share one piece, the table's own; it is asked where no
scope is found, so every request meets the very host that it would meet in the whole table. Next: `scopes`, how Envoy
comes from a request to a scope.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from zlib import crc32

from roadstead.gateway import ir

_One = TypeVar("_One")
PIECES = 256
"""For exact host names, of each table; those that have no host do not exist."""
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
    """The tables of a proxy, as they change."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[ir.VirtualHost, ...]] = {}
        self._pieces: dict[str, dict[str, ir.VirtualHost]] = {}

    def update(self, tables: Iterable[ir.RouteTable]) -> Difference:
        """Take the tables as they are now; return how they differ from those before."""
        now = {table.name: table.virtual_hosts for table in tables}
        difference = Difference()
        for name in {**self._hosts, **now}:
            self._update(name, self._hosts.get(name), now.get(name), difference)
        self._hosts = now
        return difference

    def _update(
        self,
        table: str,
        before: tuple[ir.VirtualHost, ...] | None,
        now: tuple[ir.VirtualHost, ...] | None,
        difference: Difference,
    ) -> None:
        gone, new = changed_between(before or (), now or ())
        difference.hosts_gone += gone
        difference.hosts += new
        touched = {piece_of(table, host) for host in (*gone, *new)} | (
            {table} if before is None or now is None else set()
        )
        for host in gone:
            self._pieces[piece_of(table, host)].pop(host.name, None)
            difference.scopes_gone |= {scope.name for scope in _scopes(table, host)}
        for host in new:
            self._pieces.setdefault(piece_of(table, host), {})[host.name] = host
            difference.scopes |= {scope.name: scope for scope in _scopes(table, host)}
        if before is None:
            difference.scopes[any_scope(table)] = Scope(table, ANY, table)
        elif now is None:
            difference.scopes_gone.add(any_scope(table))
        difference.scopes_gone -= difference.scopes.keys()
        for piece in touched:
            self._touch(piece, difference, kept=piece == table and now is not None)

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


def piece_of(table: str, host: ir.VirtualHost) -> str:
    """Return the name of the piece that holds a host."""
    if not host.domains or any(domain.startswith(ANY) for domain in host.domains):
        return table
    return f"{table}#{crc32(host.domains[0].encode(errors='replace')) % PIECES:02x}"


def whole(tables: Iterable[ir.RouteTable]) -> Mapping[str, ir.RouteTable]:
    """Return all pieces of these tables."""
    return Tables().update(tables).pieces


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
    piece = piece_of(table, host)
    if piece != table:
        yield from (Scope(table, domain.lower(), piece) for domain in host.domains)

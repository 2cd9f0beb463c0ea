"""Pieces and scopes of route tables: they always are those of the whole, and every host is where a scope says."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.gateway import ir
from roadstead.gateway.xds import tables as module
from roadstead.gateway.xds.tables import (
    PIECES,
    Scope,
    Tables,
    any_scope,
    changed_between,
    piece_named,
    piece_of,
    table_of,
    table_of_piece,
)

DOMAINS = st.sampled_from(["a.com", "b.com", "*.com", "*.a.com", "*", "c.a.com", *(f"h{n}.com" for n in range(20))])


def host(domain: str, *routes: ir.Route) -> ir.VirtualHost:
    return ir.VirtualHost(domain, (domain,), routes)


def table(name: str, domains: frozenset[str], edited: frozenset[str]) -> ir.RouteTable:
    line = ir.Route("r", ir.Match(ir.PathMatch("prefix", "/")), ir.DirectResponse(404))
    return ir.RouteTable(name, tuple(host(one, *((line,) if one in edited else ())) for one in sorted(domains)))


tables = st.lists(
    st.builds(table, st.sampled_from(["http", "https"]), st.frozensets(DOMAINS), st.frozensets(DOMAINS)),
    max_size=2,
    unique_by=lambda one: one.name,
)


@pytest.fixture(params=[0, 3, 128], autouse=True)
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From how many exact hosts on a table is large."""
    monkeypatch.setattr(module, "SPREAD_FROM", request.param)
    return int(request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tables, min_size=1, max_size=4))
def test_differences_add_up(steps: list[list[ir.RouteTable]]) -> None:
    going, pieces, scopes, hosts = Tables(), {}, {}, []
    for now in steps:
        found = going.update(now)
        assert not found.pieces.keys() & found.pieces_gone
        assert not found.scopes.keys() & found.scopes_gone
        pieces = {name: one for name, one in (pieces | found.pieces).items() if name not in found.pieces_gone}
        scopes = {name: one for name, one in (scopes | found.scopes).items() if name not in found.scopes_gone}
        hosts = [one for one in hosts if not any(one is gone for gone in found.hosts_gone)] + found.hosts
        assert sorted(map(str, hosts)) == sorted(str(one) for each in now for one in each.virtual_hosts)
        assert {table_of_piece(name) for name in pieces} == {each.name for each in now}
        assert all(piece_named(now, name) == one for name, one in pieces.items())
        _meets(now, going.spread, pieces, scopes)


def _meets(
    now: list[ir.RouteTable], spread: set[str], pieces: dict[str, ir.RouteTable], scopes: dict[str, Scope]
) -> None:
    """Assert that each host is where a scope says, or for a small table in the one piece that there is."""
    known = set()
    for each in now:
        for one in each.virtual_hosts:
            (domain,) = one.domains
            name = any_scope(each.name) if domain.startswith("*") else f"{each.name}/{domain}"
            piece = scopes[name].piece if each.name in spread else each.name
            known |= {name, any_scope(each.name)} if each.name in spread else set()
            assert one in pieces[piece].virtual_hosts
            assert piece == piece_of(each.name, one, spread=each.name in spread)
        known |= {any_scope(each.name)} if each.name in spread else set()
    assert scopes.keys() == known
    assert {table_of(name) for name in scopes} <= spread


def test_many_hosts_are_spread_evenly() -> None:
    hosts = [host(f"h{number}.example.com") for number in range(3000)]
    pieces = Tables().update([ir.RouteTable("http", tuple(hosts))]).pieces
    assert len(pieces) == PIECES + 1
    assert max(len(one.virtual_hosts) for one in pieces.values()) < 3000 / PIECES * 3


def test_a_table_with_many_wildcards_alone_is_not_large(limit: int) -> None:
    wild = tuple(host(f"*.h{number}.com") for number in range(200))
    going = Tables()
    going.update([ir.RouteTable("http", wild)])
    assert not going.spread
    going.update([ir.RouteTable("http", (*wild, *(host(f"h{number}.com") for number in range(limit + 1))))])
    assert going.spread == {"http"}
    going.update([])
    assert not going.spread


def test_what_lies_between_the_same_ends_is_compared() -> None:
    one, two, three, four = (host(name) for name in "abcd")
    assert changed_between((one, two, three), (one, four, three)) == ([two], [four])
    assert changed_between((one, two), (one, two, three)) == ([], [three])
    assert changed_between((one, two, three), (two, one)) == ([three], [])
    assert changed_between((), ()) == ([], [])

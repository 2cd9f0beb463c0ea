"""Pieces and scopes of route tables: they always are those of the whole, and every host is where a scope says."""

from hypothesis import given
from hypothesis import strategies as st

from roadstead.gateway import ir
from roadstead.gateway.xds.tables import PIECES, Tables, any_scope, changed_between, piece_of, table_of, whole

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


@given(st.lists(tables, min_size=1, max_size=4))
def test_differences_add_up_to_the_whole(steps: list[list[ir.RouteTable]]) -> None:
    going, pieces, scopes, hosts = Tables(), {}, {}, []
    for now in steps:
        found = going.update(now)
        pieces = {name: one for name, one in (pieces | found.pieces).items() if name not in found.pieces_gone}
        scopes = {name: one for name, one in (scopes | found.scopes).items() if name not in found.scopes_gone}
        hosts = [one for one in hosts if not any(one is gone for gone in found.hosts_gone)] + found.hosts
        fresh = Tables().update(now)
        assert pieces == fresh.pieces == whole(now)
        assert scopes == fresh.scopes
        assert sorted(map(str, hosts)) == sorted(str(one) for each in now for one in each.virtual_hosts)


@given(tables)
def test_each_exact_host_has_a_scope_and_all_others_are_where_no_scope_leads(now: list[ir.RouteTable]) -> None:
    found = Tables().update(now)
    for each in now:
        assert found.scopes[any_scope(each.name)].piece == each.name
        for one in each.virtual_hosts:
            (domain,) = one.domains
            piece = found.scopes[any_scope(each.name) if domain.startswith("*") else f"{each.name}/{domain}"].piece
            assert one in found.pieces[piece].virtual_hosts
            assert piece_of(each.name, one) == piece
    assert {table_of(name) for name in found.scopes} == {each.name for each in now}


def test_many_hosts_are_spread_evenly() -> None:
    hosts = [host(f"h{number}.example.com") for number in range(3000)]
    pieces = whole([ir.RouteTable("http", tuple(hosts))])
    assert len(pieces) == PIECES + 1
    assert max(len(one.virtual_hosts) for one in pieces.values()) < 3000 / PIECES * 3


def test_what_lies_between_the_same_ends_is_compared() -> None:
    one, two, three, four = (host(name) for name in "abcd")
    assert changed_between((one, two, three), (one, four, three)) == ([two], [four])
    assert changed_between((one, two), (one, two, three)) == ([], [three])
    assert changed_between((one, two, three), (two, one)) == ([three], [])
    assert changed_between((), ()) == ([], [])

"""What Envoy refuses of a route table is left out, and everything beside it is served."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.gateway import ir
from roadstead.gateway.xds.quarantine import Quarantine
from roadstead.gateway.xds.resources import Ref, ResourceType

TABLE = "http-80"
REF = Ref(ResourceType.ROUTES, TABLE)


def rule(name, *patterns, number=0, service="foo"):
    """Return the routes of one rule, one for each of its expressions."""
    action = ir.Forward((ir.Destination(service),))
    return tuple(
        ir.Route(
            f"{name}/{number}/{match}",
            ir.Match(ir.PathMatch("regex", pattern)),
            action,
            ir.RouteSource("GRPCRoute", "user-platform", name, number, match),
        )
        for match, pattern in enumerate(patterns)
    )


def table(*hosts):
    virtual = tuple(ir.VirtualHost(f"h{index}", (f"h{index}",), tuple(routes)) for index, routes in enumerate(hosts))
    return ir.RouteTable(TABLE, virtual)


def patterns(served):
    return [route.match.path.value for host in served.virtual_hosts for route in host.routes]


class Envoy:
    """Refuses a table with a bad expression, and says which one it is, or only that there is one."""

    def __init__(self, *bad, telling=True):
        self.bad, self.telling, self.refusals = bad, telling, 0

    def settle(self, quarantine, wanted):
        """Let quarantine and Envoy talk until nothing is left to say; return what Envoy has in the end."""
        offered = quarantine.want(wanted)
        while True:
            found = [pattern for pattern in patterns(offered) if pattern in self.bad]
            if found:
                self.refusals += 1
                again = quarantine.refused(TABLE, f"regex '{found[0]}' is bad" if self.telling else "something is bad")
            else:
                again = quarantine.taken(TABLE)
            if not again:
                return offered
            offered = quarantine.offered(TABLE)


@pytest.mark.parametrize("telling", [True, False])
def test_a_refused_rule_is_left_out_and_its_neighbours_are_served(telling):
    quarantine, envoy = Quarantine(), Envoy("bad", telling=telling)
    wanted = table([*rule("a", "/a.*"), *rule("b", "bad")], [*rule("c", "/c.*"), *rule("d", "/d.*")])
    assert patterns(envoy.settle(quarantine, wanted)) == ["/a.*", "/c.*", "/d.*"]
    (left_out,) = quarantine.rejections()
    assert left_out.source.name == "b"
    assert left_out.resource == f"routes {TABLE} (GRPCRoute user-platform/b rule 0)"
    assert "bad" in left_out.message


def test_where_nothing_is_refused_the_table_is_the_very_same():
    quarantine, wanted = Quarantine(), table(rule("a", "/a.*"))
    assert quarantine.want(wanted) is wanted
    assert quarantine.unanswered == {TABLE}
    assert not quarantine.taken(TABLE)
    assert quarantine.unanswered == frozenset()


def test_all_matches_of_the_rule_go_wherever_they_are_but_other_rules_of_the_route_stay():
    quarantine, envoy = Quarantine(), Envoy("bad")
    two = [*rule("a", "/a.*", "bad"), *rule("a", "/other", number=1)]
    assert patterns(envoy.settle(quarantine, table(two, two))) == ["/other", "/other"]


def test_what_is_out_stays_out_without_another_word_until_it_is_edited():
    quarantine, envoy = Quarantine(), Envoy("bad")
    bad = rule("b", "bad")
    envoy.settle(quarantine, table([*rule("a", "/a"), *bad]))
    envoy.refusals = 0
    assert patterns(envoy.settle(quarantine, table([*rule("a", "/new"), *bad, *rule("c", "/c")]))) == ["/new", "/c"]
    assert envoy.refusals == 0
    assert patterns(envoy.settle(quarantine, table([*rule("a", "/new"), *rule("b", "mended")]))) == ["/new", "mended"]
    assert quarantine.rejections() == []
    assert patterns(envoy.settle(quarantine, table(bad))) == []
    assert envoy.refusals == 1, "it was forgotten with the rule"


def test_a_short_expression_that_envoys_words_happen_to_contain_is_not_blamed():
    quarantine, envoy = Quarantine(), Envoy("/bad")
    wanted = table([*rule("a", "a"), *rule("b", "/bad"), *rule("c", "is")])
    assert patterns(envoy.settle(quarantine, wanted)) == ["a", "is"]


def test_what_envoy_has_taken_before_is_not_suspected():
    quarantine, envoy = Quarantine(), Envoy("bad", telling=False)
    before = [each for number in range(64) for each in rule(f"r{number}", f"/{number}")]
    envoy.settle(quarantine, table(before))
    assert len(patterns(envoy.settle(quarantine, table([*before, *rule("new", "bad")])))) == 64
    assert envoy.refusals == 1


def test_a_table_that_envoy_refuses_without_any_rule_is_nobodys_fault():
    quarantine = Quarantine()
    quarantine.want(table([]))
    assert quarantine.handles(REF)
    assert not quarantine.refused(TABLE, "what is this")
    assert not quarantine.handles(REF)
    quarantine.want(table([*rule("a", "/a")]))
    assert quarantine.handles(REF)


def test_tables_that_are_gone_are_forgotten():
    quarantine = Quarantine()
    quarantine.want(table([*rule("a", "/a")]))
    quarantine.refused(TABLE, "no")
    quarantine.forget(TABLE)
    assert not quarantine.handles(REF)
    assert (quarantine.rejections(), quarantine.unanswered) == ([], frozenset())


def test_pieces_of_a_table_are_told_as_the_table():
    quarantine = Quarantine()
    for name in (f"{TABLE}#1a", f"{TABLE}#2b"):
        quarantine.want(msgspec.structs.replace(table([*rule("a", "/a")]), name=name))
        quarantine.refused(name, "no")
    assert {each.resource for each in quarantine.rejections()} == {f"routes {TABLE} (GRPCRoute user-platform/a rule 0)"}


def test_routes_that_no_manifest_has_made_are_told_by_their_name():
    quarantine, envoy = Quarantine(), Envoy("bad")
    own = ir.Route("own", ir.Match(ir.PathMatch("regex", "bad")), ir.DirectResponse(404))
    assert patterns(envoy.settle(quarantine, table([own, *rule("a", "/a")]))) == ["/a"]
    assert [(each.resource, each.source) for each in quarantine.rejections()] == [(f"routes {TABLE}", None)]


def with_reserve(wanted, *former):
    """Return a table whose hosts have these in reserve: where, which version, whether it was taken, and its lines."""
    reserve = tuple(ir.Former(at, version, taken, line) for at, version, taken, found in former for line in found)
    hosts = tuple(msgspec.structs.replace(host, reserve=reserve) for host in wanted.virtual_hosts)
    return msgspec.structs.replace(wanted, virtual_hosts=hosts)


@pytest.mark.parametrize("telling", [True, False])
def test_the_version_that_was_taken_last_stands_in_at_its_place(telling):
    quarantine, envoy = Quarantine(), Envoy("bad", telling=telling)
    envoy.settle(quarantine, table([*rule("a", "/a"), *rule("b", "/v2")]))
    wanted = with_reserve(
        table([*rule("b", "bad"), *rule("a", "/a"), *rule("c", "/c")]),
        (2, 0, True, rule("b", "/v1")),
        (2, 1, False, rule("b", "/v2")),
        (3, 2, False, rule("b", "/never")),
    )
    assert patterns(envoy.settle(quarantine, wanted)) == ["/a", "/v2", "/c"]
    assert [one.kept for one in quarantine.rejections()] == [1]
    assert quarantine.offered(TABLE).virtual_hosts[0].reserve == ()


def test_of_what_envoy_has_never_had_only_a_version_that_others_have_taken_stands_in():
    quarantine, envoy = Quarantine(), Envoy("bad")
    wanted = with_reserve(
        table([*rule("b", "bad"), *rule("a", "/a")]),
        (2, 0, True, rule("b", "/v1")),
        (0, 1, False, rule("b", "/v2")),
    )
    assert patterns(envoy.settle(quarantine, wanted)) == ["/a", "/v1"]


@pytest.mark.parametrize("telling", [True, False])
def test_a_version_that_envoy_refuses_as_well_gives_way(telling):
    quarantine, envoy = Quarantine(), Envoy("bad", "worse", telling=telling)
    wanted = with_reserve(
        table([*rule("a", "/a"), *rule("b", "bad")]),
        (1, 0, True, rule("b", "/v1")),
        (1, 1, True, rule("b", "worse")),
    )
    assert patterns(envoy.settle(quarantine, wanted)) == ["/a", "/v1"]
    assert [(one.source.name, one.kept) for one in quarantine.rejections()] == [("b", 0)]
    assert patterns(envoy.settle(quarantine, wanted)) == ["/a", "/v1"]


def test_a_rule_with_other_descriptors_is_another_version_of_it():
    quarantine = Quarantine()
    (line,) = rule("a", "/a")
    quarantine.want(table([line]))
    quarantine.taken(TABLE)
    web = ir.Web(transcoding=ir.Transcoding(b"broken", ("a.B",)))
    quarantine.want(table([msgspec.structs.replace(line, web=web), *rule("b", "/b")]))
    assert quarantine.refused(TABLE, "transcoding_filter: unable to build proto descriptor pool")
    assert quarantine.refused(TABLE, "transcoding_filter: unable to build proto descriptor pool")
    assert [one.source.name for one in quarantine.rejections()] == ["a"]


NAMES = st.sampled_from([f"p{number}" for number in range(12)])
RULES = st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=12)


@given(st.lists(RULES, min_size=1, max_size=5), st.frozensets(NAMES, max_size=4), st.booleans())
def test_in_the_end_exactly_the_bad_rules_are_out_after_few_refusals(editions, bad, telling):
    """Whatever is edited in whatever order: no good rule is ever lost, and no bad one is offered for ever."""
    quarantine, envoy = Quarantine(), Envoy(*bad, telling=telling)
    for edition in editions:
        envoy.refusals = 0
        wanted = table([each for number, names in enumerate(edition) for each in rule("r", *names, number=number)])
        expected = [name for names in edition for name in names if not bad.intersection(names)]
        assert patterns(envoy.settle(quarantine, wanted)) == expected
        culprits = sum(1 for names in edition if bad.intersection(names))
        assert len(quarantine.rejections()) == culprits
        assert envoy.refusals <= culprits * (2 + 2 * math.ceil(math.log2(len(edition) + 1)))
        assert not quarantine.on_trial
        assert not quarantine.unanswered

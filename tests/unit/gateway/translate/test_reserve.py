"""What is in reserve for a route: versions of its rules, until all Envoys have answered."""

from itertools import pairwise

import gateway_objects as made
from gateway_objects import backend, method, rule

from roadstead.api.objects import Object
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.grpcroute import plan_grpc_route
from roadstead.gateway.translate.httproute import plan_http_route
from roadstead.gateway.translate.reserve import Reserve, answered, succeeded, usable
from roadstead.gateway.translate.routes import RoutePlan


def resources(*more: Object, **service: str) -> Resources:
    return made.resources([*(made.service(name, **service) for name in "ab"), *more])


def plan(*rules: Object) -> RoutePlan:
    return plan_grpc_route(made.grpc_route("r", *rules), resources())


def calling(called: str, to: str = "a", **more: str) -> Object:
    return rule(backend(to), matches=[method("a.B", called)], **more)


def taken(now: RoutePlan) -> Reserve:
    return answered(Reserve(), now, ())


def paths(reserve: Reserve) -> list[tuple[int, int, bool, str]]:
    return [(one.rule, one.version, one.taken, one.entry.routes[0].match.path.value) for one in reserve.former]


def test_only_what_says_something_else_needs_a_reserve() -> None:
    before, after = plan(calling("One"), calling("Two")), plan(calling("One"), calling("Three"))
    reserve = succeeded(taken(before), before, after, answering=True)
    assert reserve.taken == {0}
    assert paths(reserve) == [(1, 0, True, "/a.B/Two")]
    assert answered(reserve, after, ()) == Reserve(frozenset({0, 1}))


def test_what_stands_in_stays_as_long_as_it_is_needed() -> None:
    before, after = plan(calling("One")), plan(calling("Two"))
    reserve = succeeded(taken(before), before, after, answering=True)
    assert answered(reserve, after, [(0, 0)]) == reserve
    assert answered(reserve, after, [(0, None)]) == Reserve()


def test_versions_that_nobody_has_answered_to_are_kept_while_somebody_may_have_taken_them_but_not_without_end() -> None:
    plans = [plan(calling(f"V{number}")) for number in range(10)]
    for answering, known in ((False, [0]), (True, [0, *range(5, 9)])):
        reserve = taken(plans[0])
        for before, after in pairwise(plans):
            reserve = succeeded(reserve, before, after, answering=answering)
        assert [path for *_, path in paths(reserve)] == [f"/a.B/V{number}" for number in known]
        assert [one.version for one in reserve.former] == sorted({one.version for one in reserve.former})


def test_an_earlier_version_of_a_rule_that_has_moved_is_told_by_the_number_that_it_has_now() -> None:
    before = plan(calling("One", name="one"), calling("Two", name="two"))
    after = plan(calling("Two", name="two"), calling("Other", name="one"))
    (former,) = succeeded(taken(before), before, after, answering=True).former
    (route,) = former.entry.routes
    assert route.source is not None
    assert (former.rule, route.source.rule) == (1, 1)
    assert route.name == "grpcroute/user-platform/r/rule/1/match/0"


def test_a_version_is_of_use_only_as_long_as_all_of_it_leads_where_it_did() -> None:
    both = rule(backend("a"), matches=[method("a.B", "One"), method("a.B", "Two")])
    before, after = plan(both, calling("Three", "b")), plan(calling("Other", "b"), calling("Four", "b"))
    reserve = succeeded(taken(before), before, after, answering=True)
    assert len(reserve.former) == 3
    assert usable(reserve, after, resources()) is reserve
    gone = made.resources([made.service("b")])
    assert paths(usable(reserve, after, gone)) == [(1, 0, True, "/a.B/Three")]
    assert usable(reserve, after, resources(appProtocol="http")).former == ()


def test_rules_of_http_routes_have_versions_too() -> None:
    def http(path: str) -> RoutePlan:
        matches = [{"path": {"type": "PathPrefix", "value": path}}]
        return plan_http_route(made.http_route("r", rule(backend("a"), matches=matches)), resources())

    before, after = http("/one"), http("/two")
    assert paths(succeeded(taken(before), before, after, answering=True)) == [(0, 0, True, "/one")]

"""What Envoy refuses of a rule is served as it said before: translation and quarantine together, whatever is edited."""

import copy
from collections.abc import Mapping
from typing import Any

import gateway_objects as made
import pytest
from gateway_objects import GATEWAY, NAMESPACE, PROXY, backend, rule
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.stateful import rule as step

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway import ir
from roadstead.gateway.gather import Gathering
from roadstead.gateway.translate import Translator, translate
from roadstead.gateway.xds.quarantine import Quarantine
from roadstead.gateway.xds.resources import Ref, ResourceType
from roadstead.gateway.xds.snapshot import Encoder, NodeSettings
from roadstead.gateway.xds.tables import SPREAD_FROM

HOST = "foo.example.com"
BAD = "bad"


class Envoy:
    """Takes a table as a whole, or refuses it for a bad expression; says which one it is, or only that there is one."""

    def __init__(self, *, telling: bool = True) -> None:
        self.quarantine = Quarantine()
        self.has: dict[str, ir.RouteTable] = {}
        self.telling = telling
        self.seen: list[list[Any]] = []
        self._wanted: dict[str, ir.RouteTable] = {}

    def take(self, tables: tuple[ir.RouteTable, ...]) -> None:
        for table in tables:
            if self._wanted.get(table.name) != table:
                self._settle(table.name, self.quarantine.want(table))
        self._wanted = {table.name: table for table in tables}
        for name in self.has.keys() - self._wanted.keys():
            del self.has[name]
            self.quarantine.forget(name)

    def _settle(self, name: str, offered: ir.RouteTable) -> None:
        for _ in range(1_000):
            bad = [line for line in lines(offered) if BAD in line[0].path.value]
            if bad:
                words = f"'{bad[0][0].path.value}' cannot be compiled" if self.telling else "something is wrong"
                again = self.quarantine.refused(name, words)
            else:
                again = self.quarantine.taken(name)
                self.has[name] = offered
                self.seen.append(lines(offered))
            if not again:
                return
            offered = self.quarantine.offered(name)
        raise AssertionError("there is no end to it")


def lines(table: ir.RouteTable, host: str = HOST) -> list[tuple[ir.Match, ir.Action]]:
    found = next((one for one in table.virtual_hosts if one.name == host), None)
    return [(route.match, route.action) for route in found.routes] if found else []


class Cluster:
    """A cluster whose Gateways are served by one Envoy each, from manifest to what Envoy has."""

    def __init__(self, *, telling: bool = True) -> None:
        self.caches: dict[str, dict[ObjectKey, Object]] = {name: {} for name in made.READ_KINDS}
        self.gathering = Gathering(self.caches, self, frozenset({made.CONTROLLER_NAME}), None)  # type: ignore[arg-type]
        self.translator = Translator()
        self.envoy = Envoy(telling=telling)
        self.connected = 1
        for obj in (made.gateway_class(), made.gateway(), *(made.service(name) for name in "abc")):
            self.have(obj)

    def state(self, key: str) -> ir.ProxyState:
        known = key == PROXY and self.connected
        return ir.ProxyState(1, True, tuple(self.envoy.quarantine.rejections())) if known else ir.ProxyState()

    def have(self, obj: Object) -> None:
        field, key = made.field_of(obj), ObjectKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        old = self.caches[field].get(key)
        self.caches[field][key] = copy.deepcopy(obj)
        self.gathering.note(field, key, old, self.caches[field][key])

    def lose(self, field: str, name: str, namespace: str = NAMESPACE) -> None:
        key = ObjectKey(namespace, name)
        self.gathering.note(field, key, self.caches[field].pop(key), None)

    def turn(self) -> None:
        """Translate what has changed, and let Envoy answer."""
        self.translator.advance(self.gathering.resources(made.NOW), self.gathering.changes())
        if self.connected:
            self.envoy.take(self.translator.proxies[PROXY].route_tables)

    def settle(self) -> None:
        """Let all that follows from a change happen."""
        for _ in range(4):
            self.turn()
            self.gathering.note_proxy(PROXY)

    def restart_envoy(self) -> None:
        self.connected = 0
        self.gathering.note_proxy(PROXY)
        self.turn()
        self.envoy, self.connected = Envoy(telling=self.envoy.telling), 1
        self.gathering.note_proxy(PROXY)
        self.envoy.take(self.translator.proxies[PROXY].route_tables)

    @property
    def has(self) -> list[tuple[ir.Match, ir.Action]]:
        """What Envoy has for the host, without what the gateway itself answers."""
        return [line for line in lines(self.envoy.has[PROXY + "/80"]) if not isinstance(line[1], ir.DirectResponse)]

    @property
    def served(self) -> list[str]:
        """The expressions that Envoy has, each with the Service that it leads to."""
        return [f"{text_of(match)} {_service(action)}" for match, action in self.has]

    def problem(self, route: str = "r") -> str:
        """What the route's status says of rules that are not served as they are."""
        status = translate(self.gathering.resources(made.NOW))
        found = made.status_of(status, "GRPCRoute", route)["parents"][0]["conditions"]
        return next((one["message"] for one in found if one["type"] == "PartiallyInvalid"), "")


def text_of(match: ir.Match) -> str:
    return match.path.value.removeprefix("/(?:").removesuffix(")/(?:M)")


def _service(action: ir.Action) -> str:
    assert isinstance(action, ir.Forward)
    return action.destinations[0].cluster.split("/")[1]


def matching(expression: str, to: str = "a", **more: Any) -> Object:
    matches = {"method": {"type": "RegularExpression", "service": expression, "method": "M"}}
    return rule(backend(to), matches=[matches], **more)


def route(*rules: Object, name: str = "r", **more: Any) -> Object:
    return made.grpc_route(name, *rules, hostnames=[HOST], **more)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_refused_rule_is_served_as_it_said_before_and_the_status_says_so(cluster: Cluster) -> None:
    cluster.have(route(matching("one"), matching("two", "b")))
    cluster.settle()
    cluster.have(route(matching("bad", "c"), matching("new", "c")))
    cluster.settle()
    assert cluster.served == ["one a", "new c"]
    assert cluster.problem() == (
        "Dropped Rule: spec.rules[0]: Envoy refuses it: '/(?:bad)/(?:M)' cannot be compiled; "
        "what it said before is served on"
    )
    assert [one.name for one in cluster.translator.proxies[PROXY].clusters] == [
        f"{NAMESPACE}/{name}/50051/h2" for name in "ac"
    ]


def test_at_no_time_is_there_less(cluster: Cluster) -> None:
    cluster.have(route(matching("one")))
    cluster.settle()
    cluster.envoy.seen.clear()
    cluster.have(route(matching("bad")))
    cluster.settle()
    assert cluster.envoy.seen
    assert all(any(text_of(match) == "one" for match, _ in found) for found in cluster.envoy.seen)


def test_a_rule_that_was_never_taken_is_left_out(cluster: Cluster) -> None:
    cluster.have(route(matching("bad"), matching("two")))
    cluster.settle()
    assert cluster.served == ["two a"]
    assert cluster.problem().endswith("'/(?:bad)/(?:M)' cannot be compiled")
    cluster.have(route(matching("worse bad"), matching("two")))
    cluster.settle()
    assert cluster.served == ["two a"]


def test_several_bad_versions_in_a_row_leave_the_last_good_one_and_an_edit_mends_it(cluster: Cluster) -> None:
    for text in ("one", "two", "bad 1", "bad 2"):
        cluster.have(route(matching(text)))
        cluster.settle()
    assert cluster.served == ["two a"]
    cluster.have(route(matching("three")))
    cluster.settle()
    assert (cluster.served, cluster.problem()) == (["three a"], "")
    assert not any(host.reserve for host in cluster.translator.proxies[PROXY].route_tables[0].virtual_hosts)


def test_a_version_counts_as_soon_as_envoy_has_it_whether_anybody_has_heard_of_it_or_not(cluster: Cluster) -> None:
    cluster.have(route(matching("one")))
    cluster.settle()
    for text in ("two", "three", "bad"):
        cluster.have(route(matching(text)))
        cluster.turn()
    assert cluster.served == ["three a"]
    cluster.settle()
    assert cluster.served == ["three a"]


def test_what_is_kept_goes_with_its_route_its_rule_and_its_host(cluster: Cluster) -> None:
    cluster.have(route(matching("one"), matching("two")))
    cluster.settle()
    cluster.have(route(matching("one"), matching("bad")))
    cluster.settle()
    assert cluster.served == ["one a", "two a"]
    cluster.have(route(matching("one")))
    cluster.settle()
    assert cluster.served == ["one a"]
    cluster.have(route(matching("bad")))
    cluster.settle()
    assert cluster.served == ["one a"]
    cluster.have(made.grpc_route("r", matching("bad"), hostnames=["bar.example.com"]))
    cluster.settle()
    assert lines(cluster.envoy.has[PROXY + "/80"]) == []
    assert any(text_of(match) == "one" for match, _ in lines(cluster.envoy.has[PROXY + "/80"], "bar.example.com"))
    cluster.lose("grpc_routes", "r")
    cluster.settle()
    assert not cluster.translator.proxies[PROXY].clusters


def test_a_rule_that_was_removed_does_not_come_back_with_another_ones_number(cluster: Cluster) -> None:
    cluster.have(route(matching("one"), matching("two")))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    assert cluster.served == []


def test_a_rule_is_known_by_its_name_or_by_what_it_says(cluster: Cluster) -> None:
    cluster.have(route(matching("one", name="first"), matching("two"), matching("three")))
    cluster.settle()
    cluster.have(route(matching("two"), matching("three"), matching("bad", name="first")))
    cluster.settle()
    assert sorted(cluster.served) == ["one a", "three a", "two a"]
    (kept,) = cluster.envoy.quarantine.rejections()
    assert kept.source is not None
    assert (kept.source.rule, kept.kept) == (2, 0)


def test_what_is_kept_has_its_own_rank_also_among_rules_that_come_later(cluster: Cluster) -> None:
    cluster.have(route(matching("middle one")))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    later = [route(matching(text), name=name) for name, text in (("x", "a very long one"), ("y", "short"))]
    for obj in later:
        cluster.have(obj)
        cluster.settle()
    assert cluster.served == ["a very long one a", "middle one a", "short a"]


def test_envoys_that_start_anew_are_given_what_the_others_had(cluster: Cluster) -> None:
    cluster.have(route(matching("one")))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    cluster.restart_envoy()
    assert cluster.served == ["one a"]
    cluster.settle()
    assert cluster.served == ["one a"]


def test_a_control_plane_that_starts_anew_does_not_know_what_was_before(cluster: Cluster) -> None:
    cluster.have(route(matching("one")))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    anew = Cluster()
    for field, objects in cluster.caches.items():
        for obj in objects.values():
            anew.have(obj)
            assert made.field_of(obj) == field
    anew.settle()
    assert anew.served == []


def test_what_is_kept_ends_where_its_backend_has_gone_or_is_another(cluster: Cluster) -> None:
    cluster.have(route(matching("one", "a")))
    cluster.settle()
    cluster.have(route(matching("bad", "b")))
    cluster.settle()
    assert cluster.served == ["one a"]
    cluster.lose("services", "a")
    cluster.settle()
    assert cluster.served == []
    assert cluster.problem() == "" or not cluster.problem().endswith("served on")


def test_what_is_kept_ends_with_the_grant_for_its_backend(cluster: Cluster) -> None:
    cluster.have(made.service("d", namespace="elsewhere"))
    cluster.have(made.grant("elsewhere", [("gateway.networking.k8s.io", "GRPCRoute", NAMESPACE)], [("", "Service")]))
    there = {"matches": matching("one")["matches"], "backendRefs": [backend("d", namespace="elsewhere")]}
    cluster.have(route(there))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    assert cluster.served == ["one d"]
    (grant,) = cluster.caches["reference_grants"]
    cluster.lose("reference_grants", grant.name, "elsewhere")
    cluster.settle()
    assert cluster.served == []


def test_where_envoys_words_name_no_rule_each_of_several_is_kept(cluster: Cluster) -> None:
    cluster = Cluster(telling=False)
    cluster.have(route(*(matching(f"v1 {number}") for number in range(6))))
    cluster.settle()
    cluster.envoy.seen.clear()
    cluster.have(route(*(matching(f"bad {number}" if number in (1, 4) else f"v2 {number}") for number in range(6))))
    cluster.settle()
    expected = {f"v{1 if number in (1, 4) else 2} {number} a" for number in range(6)}
    assert set(cluster.served) == expected
    for found in cluster.envoy.seen:
        numbers = {text_of(match).split()[1] for match, action in found if isinstance(action, ir.Forward)}
        assert numbers == set("012345"), "each rule is served in one of its versions at any time"


NAMES = st.sampled_from(["x", "y", "z"])
TEXTS = st.sampled_from(["short", "a long one", "one", "two", "bad", "another bad one"])
RULES = st.lists(
    st.builds(lambda name, text, to: matching(text, to, name=name), NAMES, TEXTS, st.sampled_from("abc")),
    max_size=3,
    unique_by=lambda one: one["name"],
)


class Editing(RuleBasedStateMachine):
    """Routes are edited, Envoys restart: Envoy has what manifests say in which each rule is its last good version."""

    @initialize(telling=st.booleans())
    def begin(self, telling: bool) -> None:
        self.cluster = Cluster(telling=telling)
        self.good: dict[str, dict[str, Object]] = {}
        self.rules: dict[str, list[Object]] = {}

    @step(name=st.sampled_from(["r", "s"]), rules=RULES, heard=st.booleans())
    def edit(self, name: str, rules: list[Object], heard: bool) -> None:
        before = self.good.get(name, {})
        good = {one["name"]: one if _is_good(one) else before.get(one["name"]) for one in rules}
        self.good[name] = {each: one for each, one in good.items() if one is not None}
        self.rules[name] = rules
        self.cluster.have(route(*rules, name=name))
        if heard:
            self.cluster.settle()
        else:
            self.cluster.turn()

    @step(name=st.sampled_from(["r", "s"]))
    def delete(self, name: str) -> None:
        if name in self.rules:
            del self.rules[name], self.good[name]
            self.cluster.lose("grpc_routes", name)
            self.cluster.turn()

    @step()
    def restart_envoy(self) -> None:
        self.cluster.settle()
        self.cluster.restart_envoy()

    @invariant()
    def envoy_has_the_last_good_version_of_every_rule(self) -> None:
        if not hasattr(self, "cluster") or PROXY not in self.cluster.translator.proxies:
            return
        effective = [
            route(*(good[one["name"]] for one in self.rules[name] if one["name"] in good), name=name)
            for name, good in self.good.items()
        ]
        whole = translate(made.resources([*self._others(), *effective])).proxies[PROXY]
        wanted = [line for line in lines(whole.route_tables[0]) if not isinstance(line[1], ir.DirectResponse)]
        assert self.cluster.has == wanted
        clusters = {one.name for one in self.cluster.translator.proxies[PROXY].clusters}
        assert clusters >= {one.name for one in whole.clusters}

    def _others(self) -> list[Object]:
        caches: Mapping[str, dict[ObjectKey, Object]] = self.cluster.caches
        return [obj for field, objects in caches.items() if field != "grpc_routes" for obj in objects.values()]


def _is_good(one: Object) -> bool:
    return BAD not in one["matches"][0]["method"]["service"]


Editing.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestEveryRuleIsServedAsItsLastGoodVersion = Editing.TestCase


def test_the_gateway_is_not_blamed_for_what_a_route_says(cluster: Cluster) -> None:
    cluster.have(route(matching("one")))
    cluster.settle()
    cluster.have(route(matching("bad")))
    cluster.settle()
    status = made.status_of(translate(cluster.gathering.resources(made.NOW)), "Gateway", GATEWAY.name)
    assert "refuse" not in made.message(status["conditions"], "Programmed")
    assert cluster.envoy.quarantine.handles(Ref(ResourceType.ROUTES, PROXY + "/80"))


@pytest.mark.parametrize(
    ("before", "after", "served"),
    [
        (["one"], ["bad", "two"], {"one", "two"}),
        (["one", "two"], ["bad 1", "bad 2"], {"one", "two"}),
        (["one", "two"], ["bad", "one", "new"], {"one", "new"}),
        (["one", "two"], ["two", "bad"], {"one", "two"}),
        (["one", "two"], ["bad", "one", "two"], {"one", "two"}),
        (["one", "two", "three"], ["bad", "two"], {"two"}),
        (["one", "two", "three"], ["bad 1", "bad 2"], set()),
    ],
)
def test_which_rule_without_a_name_is_meant(
    cluster: Cluster, before: list[str], after: list[str], served: set[str]
) -> None:
    """Where it cannot be told which rules went and which were edited, none comes back."""
    for texts in (before, after):
        cluster.have(route(*map(matching, texts)))
        cluster.settle()
    assert {each.split()[0] for each in cluster.served} == served


def test_it_is_the_same_in_a_table_that_is_sent_in_pieces(cluster: Cluster) -> None:
    """A host in each of many pieces; each piece is refused, and mended, for itself."""
    names, encoder = [f"h{number}.example.com" for number in range(SPREAD_FROM + 1)], Encoder(NodeSettings())

    def serve(text: str) -> set[str]:
        cluster.have(made.grpc_route("r", matching(text), hostnames=names))
        cluster.translator.advance(cluster.gathering.resources(made.NOW), cluster.gathering.changes())
        encoder.encode(cluster.translator.proxies[PROXY])
        return set(encoder.quarantine.unanswered)

    for piece in serve("one"):
        encoder.quarantine.taken(piece)
    cluster.envoy.quarantine = encoder.quarantine
    cluster.gathering.note_proxy(PROXY)
    refused = {piece for piece in serve("bad") if encoder.quarantine.refused(piece, "it is bad")}
    offered = [host for piece in refused for host in encoder.quarantine.offered(piece).virtual_hosts]
    assert {host.name for host in offered} == set(names)
    assert {text_of(host.routes[0].match) for host in offered} == {"one"}
    assert {one.kept for one in encoder.quarantine.rejections()} == {0}

"""The ADS session as conversations, and as a property: whatever Envoy does, it never holds a route to nowhere."""

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roadstead.gateway.xds.resources import Ref, Resource, ResourceType, digest, snapshot
from roadstead.gateway.xds.session import DeltaSession, Request, Response

CLUSTER, ENDPOINTS = ResourceType.CLUSTER, ResourceType.ENDPOINTS
LISTENER, ROUTES, SECRET = ResourceType.LISTENER, ResourceType.ROUTES, ResourceType.SECRET
SCOPE = ResourceType.SCOPE


def made(name, content="", needs=()):
    body = json.dumps(content).encode()
    return Resource(name, digest(body), body, frozenset(needs))


def shot(clusters=(), *, listeners=("web",), routes=None, endpoints=None, secrets=None):
    """Return a snapshot: each cluster needs its endpoints, each listener its routes, the routes name the clusters."""
    names = tuple(clusters)
    addresses = {name: f"address of {name}" for name in names} | (endpoints or {})
    return snapshot(
        {
            CLUSTER: {name: made(name, name, {Ref(ENDPOINTS, name)}) for name in names},
            ENDPOINTS: {name: made(name, address) for name, address in addresses.items()},
            LISTENER: {name: made(name, name, {Ref(ROUTES, f"{name}-routes")}) for name in listeners},
            ROUTES: {f"{name}-routes": made(f"{name}-routes", routes or list(names)) for name in listeners},
            SECRET: {name: made(name, content) for name, content in (secrets or {}).items()},
        }
    )


class Talk:
    """A conversation: what Envoy says on the left, what it is sent back asserted on the right."""

    def __init__(self, first=None):
        self.session = DeltaSession()
        self.nonces = {}
        if first is not None:
            assert self.session.update(first) == []

    def update(self, wanted):
        return self._shown(self.session.update(wanted))

    def subscribe(self, type_, *names, initial=None):
        return self._shown(self.session.receive(Request(type_, names, initial_versions=initial or {})))

    def unsubscribe(self, type_, *names):
        return self._shown(self.session.receive(Request(type_, unsubscribe=names)))

    def ack(self, type_, error=None):
        """Acknowledge, or reject, the oldest response of this type that still waits for it."""
        nonce = self.nonces[type_].pop(0)
        return self._shown(self.session.receive(Request(type_, nonce=nonce, error=error)))

    def _shown(self, responses):
        for response in responses:
            self.nonces.setdefault(response.type, []).append(response.nonce)
        return [shown(response) for response in responses]


def shown(response: Response):
    return (response.type, [each.name for each in response.resources], list(response.removed))


def settled_talk(wanted):
    """Return a conversation in which Envoy has everything."""
    talk = Talk(wanted)
    clusters = sorted(wanted.resources[CLUSTER])
    talk.subscribe(CLUSTER)
    talk.ack(CLUSTER)
    talk.subscribe(ENDPOINTS, *clusters)
    talk.ack(ENDPOINTS)
    talk.subscribe(LISTENER)
    talk.subscribe(ROUTES, *(f"{name}-routes" for name in wanted.resources[LISTENER]))
    talk.ack(LISTENER)
    talk.ack(ROUTES)
    assert talk.session.settled
    return talk


def test_a_new_envoy_is_led_from_clusters_to_routes():
    talk = Talk(shot(["a"]))
    assert talk.subscribe(CLUSTER) == [(CLUSTER, ["a"], [])]
    assert talk.subscribe(LISTENER) == []
    assert talk.ack(CLUSTER) == []
    assert talk.session.waiting
    assert talk.subscribe(ENDPOINTS, "a") == [(ENDPOINTS, ["a"], [])]
    assert talk.ack(ENDPOINTS) == [(LISTENER, ["web"], [])]
    assert talk.ack(LISTENER) == []
    assert not talk.session.settled
    assert talk.subscribe(ROUTES, "web-routes") == [(ROUTES, ["web-routes"], [])]
    assert talk.ack(ROUTES) == []
    assert talk.session.settled


def test_nothing_is_sent_before_there_is_a_snapshot():
    talk = Talk()
    assert talk.subscribe(CLUSTER) == []
    assert talk.subscribe(ENDPOINTS, "a") == []
    assert not talk.session.settled
    assert not talk.session.waiting
    assert talk.update(shot(["a"])) == [(CLUSTER, ["a"], []), (ENDPOINTS, ["a"], [])]


def test_an_empty_snapshot_is_said_to_be_empty():
    talk = Talk(shot([], listeners=[]))
    assert talk.subscribe(CLUSTER) == [(CLUSTER, [], [])]
    assert talk.ack(CLUSTER) == []
    assert talk.subscribe(LISTENER) == [(LISTENER, [], [])]
    assert talk.ack(LISTENER) == []
    assert talk.session.settled


def test_the_same_snapshot_again_sends_nothing():
    talk = settled_talk(shot(["a"]))
    assert talk.update(shot(["a"])) == []


def test_an_endpoint_change_touches_endpoints_only():
    talk = settled_talk(shot(["a", "b"]))
    assert talk.update(shot(["a", "b"], endpoints={"a": "elsewhere"})) == [(ENDPOINTS, ["a"], [])]
    assert talk.ack(ENDPOINTS) == []
    assert talk.session.settled


def test_a_route_moves_to_a_new_cluster_make_before_break():
    talk = settled_talk(shot(["a"]))
    assert talk.update(shot(["b"])) == [(CLUSTER, ["b"], [])]
    assert talk.ack(CLUSTER) == []
    assert talk.subscribe(ENDPOINTS, "b") == [(ENDPOINTS, ["b"], [])]
    assert talk.ack(ENDPOINTS) == [(ROUTES, ["web-routes"], [])]
    assert talk.ack(ROUTES) == [(CLUSTER, [], ["a"])]
    assert talk.unsubscribe(ENDPOINTS, "a") == []
    assert talk.ack(CLUSTER) == []
    assert talk.session.settled


def test_a_changed_cluster_gets_its_endpoints_once_more():
    """Envoy makes it anew and waits; it does not ask for endpoints that it is subscribed to already."""
    first = shot(["a"])
    changed = snapshot({**first.resources, CLUSTER: {"a": made("a", "other settings", {Ref(ENDPOINTS, "a")})}})
    talk = settled_talk(first)
    assert talk.update(changed) == [(CLUSTER, ["a"], []), (ENDPOINTS, ["a"], [])]


def test_endpoints_do_not_wait_for_routes_that_do():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a", "b"]))
    assert talk.update(shot(["a", "b"], endpoints={"a": "elsewhere"})) == [(ENDPOINTS, ["a"], [])]


def test_of_several_changes_meanwhile_only_the_last_is_sent():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a", "b"]))
    assert talk.update(shot(["a", "c"])) == []
    assert talk.update(shot(["a", "d"])) == []
    talk.ack(CLUSTER)
    talk.subscribe(ENDPOINTS, "b")
    assert talk.ack(ENDPOINTS) == [(ROUTES, ["web-routes"], []), (CLUSTER, ["d"], [])]


def test_a_change_taken_back_in_time_is_forgotten():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a", "b"]))
    talk.update(shot(["a", "c"]))
    assert talk.update(shot(["a", "b"])) == []
    talk.ack(CLUSTER)
    talk.subscribe(ENDPOINTS, "b")
    assert talk.ack(ENDPOINTS) == [(ROUTES, ["web-routes"], [])]


def test_a_removed_listener_goes_before_the_clusters_that_it_used():
    talk = settled_talk(shot(["a"]))
    assert talk.update(shot([], listeners=[])) == [(LISTENER, [], ["web"])]
    assert talk.ack(LISTENER) == [(CLUSTER, [], ["a"])]


def test_a_name_that_is_not_there_is_answered_once():
    talk = settled_talk(shot(["a"]))
    assert talk.subscribe(ENDPOINTS, "ghost") == [(ENDPOINTS, [], ["ghost"])]
    assert talk.ack(ENDPOINTS) == []
    assert talk.subscribe(ENDPOINTS, "ghost") == [(ENDPOINTS, [], ["ghost"])]


def test_a_secret_is_sent_on_demand_and_again_when_it_changes():
    talk = settled_talk(shot(["a"], secrets={"tls": "old"}))
    assert talk.subscribe(SECRET, "tls") == [(SECRET, ["tls"], [])]
    assert talk.ack(SECRET) == []
    assert talk.update(shot(["a"], secrets={"tls": "new"})) == [(SECRET, ["tls"], [])]
    talk.ack(SECRET)
    talk.unsubscribe(SECRET, "tls")
    assert talk.update(shot(["a"], secrets={"tls": "newest"})) == []


def test_a_rejected_resource_is_named_and_not_sent_again_until_it_changes():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a"], routes=["bad"]))
    assert talk.ack(ROUTES, error="missing )") == []
    (rejection,) = talk.session.rejections
    assert (str(rejection.ref), rejection.message) == ("routes web-routes", "missing )")
    assert talk.session.settled
    assert talk.update(shot(["a"], routes=["bad"])) == []
    assert talk.update(shot(["a"], routes=["good"])) == [(ROUTES, ["web-routes"], [])]
    talk.ack(ROUTES)
    assert talk.session.rejections == []


def test_a_rejection_of_several_is_narrowed_down_to_the_bad_one():
    talk = settled_talk(shot(["a"], listeners=["x", "y"]))
    assert talk.update(shot(["a"], listeners=["x", "y"], routes=["new"])) == [(ROUTES, ["x-routes", "y-routes"], [])]
    assert talk.ack(ROUTES, error="something is wrong") == [(ROUTES, ["x-routes"], []), (ROUTES, ["y-routes"], [])]
    talk.ack(ROUTES)
    talk.ack(ROUTES, error="y is wrong")
    assert [str(each.ref) for each in talk.session.rejections] == ["routes y-routes"]


def test_a_rejection_is_forgotten_with_its_resource():
    talk = settled_talk(shot(["a"], listeners=["x", "y"]))
    talk.update(shot(["a"], listeners=["x", "y"], routes=["bad"]))
    talk.ack(ROUTES, error="wrong")
    talk.ack(ROUTES, error="wrong")
    talk.ack(ROUTES)
    assert len(talk.session.rejections) == 1
    talk.update(shot(["a"], listeners=["y"], routes=["bad"]))
    assert talk.session.rejections == []


def test_clusters_that_the_last_good_routes_name_stay_as_long_as_new_routes_are_rejected():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["b"]))
    talk.ack(CLUSTER)
    talk.subscribe(ENDPOINTS, "b")
    talk.ack(ENDPOINTS)
    assert talk.ack(ROUTES, error="wrong") == []
    assert talk.update(shot(["b"], routes=["b", "b"])) == [(ROUTES, ["web-routes"], [])]
    assert talk.ack(ROUTES) == [(CLUSTER, [], ["a"])]


def test_a_rejected_cluster_does_not_hold_up_routes():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a", "b"]))
    assert talk.ack(CLUSTER, error="no such thing") == [(ROUTES, ["web-routes"], [])]
    assert [str(each.ref) for each in talk.session.rejections] == ["cluster b"]


def test_patience_with_a_silent_envoy_ends():
    talk = settled_talk(shot(["a"]))
    talk.update(shot(["a", "b"]))
    assert talk.session.waiting
    assert [shown(each) for each in talk.session.proceed()] == [(ROUTES, ["web-routes"], [])]


def test_after_a_reconnect_only_differences_are_sent():
    wanted = shot(["a", "b"], endpoints={"a": "elsewhere"})
    had = shot(["a", "gone"])

    def versions(type_):
        return {name: each.version for name, each in had.resources[type_].items()}

    talk = Talk(wanted)
    assert talk.subscribe(CLUSTER, initial=versions(CLUSTER)) == [(CLUSTER, ["b"], [])]
    assert talk.subscribe(ENDPOINTS, "a", "gone", initial=versions(ENDPOINTS)) == [(ENDPOINTS, ["a"], [])]
    assert talk.subscribe(LISTENER, initial=versions(LISTENER)) == []
    assert talk.subscribe(ROUTES, "web-routes", initial=versions(ROUTES)) == []
    talk.ack(CLUSTER)
    talk.ack(ENDPOINTS)
    talk.subscribe(ENDPOINTS, "b")
    assert talk.ack(ENDPOINTS) == [(ROUTES, ["web-routes"], [])]
    assert talk.ack(ROUTES) == [(CLUSTER, [], ["gone"])]


def test_after_a_reconnect_without_changes_nothing_is_sent():
    had = shot(["a"])
    talk = Talk(had)
    for type_, names in ((CLUSTER, ()), (ENDPOINTS, ("a",)), (LISTENER, ()), (ROUTES, ("web-routes",))):
        versions = {name: each.version for name, each in had.resources[type_].items()}
        assert talk.subscribe(type_, *names, initial=versions) == []
    assert talk.session.settled


def test_a_nonce_of_another_time_is_ignored():
    talk = settled_talk(shot(["a"]))
    assert talk.session.receive(Request(ROUTES, nonce="777", error="what?")) == []
    assert talk.session.rejections == []


def test_an_explicit_wildcard_and_its_end():
    talk = Talk(shot(["a"]))
    assert talk.subscribe(CLUSTER, "*") == [(CLUSTER, ["a"], [])]
    talk.ack(CLUSTER)
    assert talk.subscribe(CLUSTER, "*") == [(CLUSTER, [], [])]
    talk.ack(CLUSTER)
    assert talk.unsubscribe(CLUSTER, "*") == []
    assert talk.update(shot(["a", "b"])) == []


# The property: an Envoy that follows the protocol in any order


def scoped(*names, tables=("web",)):
    """Return a snapshot with a listener, and scopes of these names in each table beside its own."""
    scopes = {f"{table}/{name}": f"{table}#" for table in tables for name in ("*", *names)}
    pieces = {f"{table}#" for table in tables}
    return snapshot(
        {
            LISTENER: {"web": made("web", tables, {Ref(SCOPE, f"{table}/*") for table in tables})},
            ROUTES: {name: made(name, "routes") for name in pieces},
            SCOPE: {name: made(name, piece, {Ref(ROUTES, piece)}) for name, piece in scopes.items()},
        }
    )


def scoped_talk(wanted):
    talk = Talk(wanted)
    for type_ in (CLUSTER, LISTENER, SCOPE):
        talk.subscribe(type_)
        talk.ack(type_)
    for name in wanted.resources[ROUTES]:
        talk.subscribe(ROUTES, name)
        talk.ack(ROUTES)
    assert talk.session.settled
    return talk


def test_scopes_come_after_routes_and_go_at_once():
    talk = scoped_talk(scoped("a"))
    more = scoped("a", "b").with_changes({Ref(ROUTES, "web#"): made("web#", "more")})
    assert talk.update(more) == [(ROUTES, ["web#"], []), (SCOPE, ["web/b"], [])]
    talk.ack(ROUTES)
    assert not talk.session.settled
    talk.ack(SCOPE)
    assert talk.session.settled
    assert talk.update(more.with_changes({Ref(SCOPE, "web/a"): None})) == [(SCOPE, [], ["web/a"])]


def test_scopes_of_a_table_that_goes_stay_for_old_connections_until_it_is_back():
    talk = scoped_talk(scoped("a", "b", tables=("web", "old")))
    assert talk.update(scoped("a", "b")) == [(LISTENER, ["web"], [])]
    assert talk.ack(LISTENER) == []
    shown = talk.update(scoped("a", tables=("web", "old")))
    assert [(type_, sorted(gone)) for type_, _, gone in shown if type_ is SCOPE] == [(SCOPE, ["old/b", "web/b"])]


def test_a_piece_that_was_not_answered_yet_is_waited_for():
    talk = scoped_talk(scoped("a"))
    piece = Ref(ROUTES, "web#17")
    wanted = scoped("a").with_changes({piece: made("web#17"), Ref(SCOPE, "web/b"): made("web/b", "web#17", {piece})})
    assert talk.update(wanted) == [(SCOPE, ["web/b"], [])]
    talk.ack(SCOPE)
    assert not talk.session.settled
    assert talk.subscribe(ROUTES, "web#17") == [(ROUTES, ["web#17"], [])]
    talk.ack(ROUTES)
    assert talk.session.settled


def test_scopes_are_offered_anew_when_envoy_asks_for_all_again():
    talk = scoped_talk(scoped("a"))
    talk.unsubscribe(SCOPE, "*")
    assert talk.subscribe(SCOPE, "*") == [(SCOPE, ["web/*", "web/a"], [])]


def test_a_snapshot_that_tells_its_changes_and_one_that_does_not_lead_to_the_same():
    for tells in (True, False):
        talk = scoped_talk(scoped("a"))
        step = scoped("a").with_changes({Ref(ROUTES, "web#"): made("web#", "more")})
        assert talk.update(step if tells else snapshot(step.resources)) == [(ROUTES, ["web#"], [])]


class EnvoyModel(RuleBasedStateMachine):
    """Envoy as far as order matters: it takes responses in turn, asks for what they need, and answers when it likes."""

    clusters = st.sets(st.sampled_from("abcd"), max_size=4)

    @initialize(first=clusters)
    def connect(self, first):
        self.session = DeltaSession()
        self.wanted = shot(sorted(first))
        self.inbox = []
        self.unsaid = []
        self.have = {type_: {} for type_ in ResourceType}
        self.warm, self.asked = {}, {ENDPOINTS: set(), ROUTES: set()}
        self._take(self.session.update(self.wanted))
        self._take(self.session.receive(Request(CLUSTER)))
        self._take(self.session.receive(Request(LISTENER)))

    def _take(self, responses):
        self.inbox += responses

    def _say(self, request):
        self._take(self.session.receive(request))

    @rule(names=clusters, version=st.integers(0, 2))
    def change(self, names, version):
        ordered = sorted(names)
        self.wanted = shot(ordered, endpoints={name: f"{name} {version}" for name in ordered})
        self._take(self.session.update(self.wanted))

    @precondition(lambda self: self.inbox)
    @rule(reject=st.booleans())
    def hear(self, reject):
        """Process the next response; reject routes only, and sometimes."""
        response = self.inbox.pop(0)
        rejected = reject and response.type is ROUTES
        if not rejected:
            self._apply(response)
        self.unsaid.append(Request(response.type, nonce=response.nonce, error="no" if rejected else None))

    @precondition(lambda self: self.unsaid)
    @rule()
    def answer(self):
        self._say(self.unsaid.pop(0))

    @rule(steps=st.integers(1, 8))
    def flow(self, steps):
        """Let things take their course for a while."""
        for _ in range(steps):
            if self.inbox:
                self.hear(reject=False)
            elif self.unsaid:
                self.answer()

    def _apply(self, response):
        held = self.have[response.type]
        for each in response.resources:
            held[each.name] = each.version
        for name in response.removed:
            held.pop(name, None)
        if response.type is CLUSTER:
            for each in response.resources:
                self.warm[each.name] = False
            for name in response.removed:
                self.warm.pop(name, None)
            self._ask(ENDPOINTS, set(held))
        elif response.type is ENDPOINTS:
            self.warm.update({each.name: True for each in response.resources if each.name in self.warm})
        elif response.type is LISTENER:
            self._ask(ROUTES, {f"{name}-routes" for name in held})
        elif response.type is ROUTES:
            self.routed = json.loads(response.resources[0].body) if response.resources else []

    def _ask(self, type_, names):
        new, old = names - self.asked[type_], self.asked[type_] - names
        self.asked[type_] = names
        if new or old:
            self.unsaid.append(Request(type_, tuple(sorted(new)), tuple(sorted(old))))
            for name in old:
                self.have[type_].pop(name, None)

    routed = ()

    @invariant()
    def every_route_leads_to_a_warm_cluster(self):
        assert all(self.warm.get(name) for name in self.routed)

    def teardown(self):
        """Let Envoy say and hear everything: in the end it has what it shall have."""
        if not hasattr(self, "session"):
            return
        for _ in range(1000):
            if self.inbox:
                response = self.inbox.pop(0)
                self._apply(response)
                self.every_route_leads_to_a_warm_cluster()
                self.unsaid.append(Request(response.type, nonce=response.nonce))
            elif self.unsaid:
                self.answer()
            else:
                break
        refused = {each.ref for each in self.session.rejections}
        assert self.session.settled
        assert not self.session.waiting
        assert refused or self.have[CLUSTER].keys() == self.wanted.resources[CLUSTER].keys()
        for type_ in (CLUSTER, LISTENER, ENDPOINTS, ROUTES):
            expected = {name: each.version for name, each in self.wanted.resources[type_].items()}
            held = dict(self.have[type_])
            for ref in refused:
                expected.pop(ref.name, None)
                held.pop(ref.name, None)
            assert expected.items() <= held.items(), type_


TestEnvoyModel = EnvoyModel.TestCase
TestEnvoyModel.settings = settings(max_examples=100, stateful_step_count=50, suppress_health_check=list(HealthCheck))

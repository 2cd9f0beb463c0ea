"""An Envoy that starts anew has what the others have taken last, whatever is refused in the meantime."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roadstead.gateway.xds.lastgood import LastGood, StandIns
from roadstead.gateway.xds.resources import NOTHING, Ref, Resource, ResourceType, digest
from roadstead.gateway.xds.session import DeltaSession, Request

CLUSTER, LISTENER, SECRET = ResourceType.CLUSTER, ResourceType.LISTENER, ResourceType.SECRET
ROUTES = ResourceType.ROUTES
SECRETS = ("a", "b")


def made(name, content, needs=()):
    return Resource(name, digest(content.encode()), content.encode(), frozenset(needs))


class Server:
    """What the control plane has and remembers, and the Envoys that are there."""

    def __init__(self):
        self.snapshot, self.last_good, self.envoys = NOTHING, LastGood(), []

    def change(self, ref, content, needs=()):
        new = made(ref.name, content, needs) if content is not None else None
        before = self.snapshot
        self.snapshot = before.with_changes({ref: new})
        taken = [envoy.session for envoy in self.envoys]
        self.last_good.note(before, self.snapshot, lambda ref, version: any(s.has_taken(ref, version) for s in taken))
        for envoy in self.envoys:
            envoy.offer(self.snapshot)

    def start(self):
        envoy = Envoy(self)
        self.envoys.append(envoy)
        envoy.offer(self.snapshot)
        return envoy

    def stop(self, envoy):
        self.envoys.remove(envoy)


class Envoy:
    """Refuses what has `bad` in it; what it refuses stays as it was."""

    def __init__(self, server):
        self.server, self.session, self.has = server, DeltaSession(), {}
        self.stand_ins = StandIns(server.last_good)
        self.refusals = 0
        for type_, names in ((CLUSTER, ()), (LISTENER, ()), (SECRET, SECRETS)):
            self._answer(self.session.receive(Request(type_, names)))

    def offer(self, snapshot):
        self._answer(self.session.update(self.stand_ins.fitted(snapshot)))

    def _answer(self, responses):
        waiting = list(responses)
        while waiting:
            response = waiting.pop(0)
            bad = any(b"bad" in each.body for each in response.resources)
            self.refusals += bad
            if not bad:
                self.has |= {Ref(response.type, each.name): each.body.decode() for each in response.resources}
                for name in response.removed:
                    self.has.pop(Ref(response.type, name), None)
            error = "it is bad" if bad else None
            waiting += self.session.receive(Request(response.type, nonce=response.nonce, error=error))
            if self.stand_ins.heed(self.session, self.server.snapshot):
                waiting += self.session.update(self.stand_ins.fitted(self.server.snapshot))

    @property
    def refused(self):
        return {each.ref for each in (*self.session.rejections, *self.stand_ins.rejections)}


A, LISTENER_A = Ref(SECRET, "a"), Ref(LISTENER, "a")


def test_an_envoy_that_starts_anew_is_given_what_the_others_had_and_the_refusal_stays_known():
    server = Server()
    first = server.start()
    server.change(A, "good")
    server.change(A, "bad")
    assert (first.has[A], first.refused) == ("good", {A})
    server.stop(first)
    second = server.start()
    assert (second.has[A], second.refused) == ("good", {A})
    assert second.session.settled is False or second.session.rejections == []
    refusals = second.refusals
    server.change(Ref(SECRET, "b"), "other")
    assert second.refusals == refusals, "it is not asked again"
    server.change(A, "better")
    assert (second.has[A], second.refused) == ("better", set())


def test_what_nobody_has_ever_taken_is_refused_by_all():
    server = Server()
    server.start()
    server.change(A, "bad")
    second = server.start()
    assert A not in second.has
    assert second.refused == {A}


def test_what_is_gone_does_not_come_back():
    server = Server()
    first = server.start()
    server.change(A, "good")
    server.change(A, "bad")
    server.change(A, None)
    server.stop(first)
    server.change(A, "bad again")
    assert A not in server.start().has


def test_a_listener_stands_in_only_while_what_it_needs_is_there():
    server, table = Server(), Ref(ROUTES, "table")
    server.start()
    server.change(table, "lines")
    server.change(LISTENER_A, "good", needs=[table])
    server.change(LISTENER_A, "bad")
    assert server.start().has[LISTENER_A] == "good"
    server.change(table, None)
    assert LISTENER_A not in server.start().has


class Changing(RuleBasedStateMachine):
    """Secrets and listeners change, Envoys come and go."""

    @initialize()
    def begin(self):
        self.server, self.good, self.wanted = Server(), {}, {}
        self.server.start()

    @rule(
        ref=st.sampled_from([*(Ref(SECRET, name) for name in SECRETS), LISTENER_A, Ref(CLUSTER, "c")]),
        content=st.sampled_from(["one", "two", "bad", "worse than bad", None]),
    )
    def change(self, ref, content):
        if content is None:
            self.good.pop(ref, None)
            self.wanted.pop(ref, None)
        else:
            self.wanted[ref] = content
            if "bad" not in content:
                self.good[ref] = content
        self.server.change(ref, content)

    @rule()
    def restart_the_oldest(self):
        self.server.stop(self.server.envoys[0])
        self.server.start()

    @rule()
    def start_another(self):
        if len(self.server.envoys) < 3:
            self.server.start()

    @invariant()
    def every_envoy_has_the_last_good_version_of_everything(self):
        for envoy in self.server.envoys:
            found = {ref: envoy.has.get(ref) for ref in self.good}
            assert found == self.good
            assert envoy.refused == {ref for ref, content in self.wanted.items() if "bad" in content}


TestWhatEnvoysHave = Changing.TestCase

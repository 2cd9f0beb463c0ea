import importlib
import sys

import grpc
import pytest
from echo_service import KINDS
from prometheus_client import CollectorRegistry
from validated_protos import shop

from roadstead.service import standard_stages
from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authentication, Authorization, Call, Outcome
from roadstead.service.interceptors.audit import OTHERS, Audit
from roadstead.service.policy import parse_policy
from roadstead.service.refusal import Refusal, unauthenticated

RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
POLICY = parse_policy("""
anonymous: [test.Echo/unary_unary]
roles:
  echo: [test.Echo/unary_stream]
  owner: [{methods: [test.Echo/stream_unary], when: {request: {id: "{identity}"}}}]
  canary: [{methods: [test.Echo/stream_stream], when: {metadata: {env: canary}}}]
identities: {alice: [echo, owner], bob: [canary], carol: []}
""")


class Passwords:
    def verify(self, claim, client):
        if claim.password == "busy":
            return Refusal(RESOURCE_EXHAUSTED, "later", "too many", public_reason="TOO_MANY_ATTEMPTS")
        return Identity(claim.name, "password") if claim.password == "right" else unauthenticated("wrong password")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def counted(serving, server_sort, recorder, registry):
    """Make a call of a kind and return what was counted for it: decision, reason and identity."""
    authentication = Authentication(Passwords(), is_open=POLICY.is_anonymous)
    stages = (Audit(registry), recorder, authentication, Authorization(lambda: POLICY))

    def counted(kind: str, name: str = "", password: str = "right", order: str = "alice", metadata=()):
        pairs = (("username", name), ("password", password)) if name else ()
        with serving(server_sort, *stages, parse=shop("Order").FromString) as client:
            client.call(kind, shop("Order")(id=order).SerializeToString(), metadata=(*pairs, *metadata))
            recorder.wait(1)
        (metric,) = registry.collect()
        (sample,) = [sample for sample in metric.samples if sample.name.endswith("_total")]
        labels = dict(sample.labels)
        assert (labels.pop("grpc_service"), labels.pop("grpc_method"), sample.value) == ("test.Echo", kind, 1)
        return labels["decision"], labels["reason"], labels["identity"]

    return counted


@pytest.mark.parametrize(("call", "expected"), [
    ({"kind": "unary_unary"}, ("allowed", "anonymous", "")),
    ({"kind": "unary_stream", "name": "alice"}, ("allowed", "role echo", "alice")),
    ({"kind": "unary_stream"}, ("unauthenticated", "no credentials", "")),
    ({"kind": "unary_stream", "name": "alice", "password": "x"}, ("unauthenticated", "credentials rejected", "")),
    ({"kind": "unary_stream", "name": "alice", "password": "busy"}, ("unauthenticated", "too many attempts", "")),
    ({"kind": "unary_stream", "name": "bob"}, ("denied", "no rule", "bob")),
    ({"kind": "unary_stream", "name": "carol"}, ("denied", "no role", "carol")),
    ({"kind": "stream_unary", "name": "alice"}, ("allowed", "role owner", "alice")),
    ({"kind": "stream_unary", "name": "alice", "order": "bob"}, ("denied", "role owner, its condition", "alice")),
    ({"kind": "stream_stream", "name": "bob"}, ("denied", "role canary, its condition", "bob")),
    ({"kind": "stream_stream", "name": "bob", "metadata": (("env", "canary"),)}, ("allowed", "role canary", "bob")),
])  # fmt: skip
def test_a_decision_is_counted_with_who_what_and_why(counted, call, expected):
    assert counted(**call) == expected


def test_names_are_counted_until_there_are_many(registry):
    audit = Audit(registry, most_identities=2)
    authorization = Authorization(lambda: POLICY)
    for name in ("alice", "bob", "carol", "dave", "alice"):
        call = Call("test.Echo/unary_stream", (), 0.0, kind="unary")
        call.identity = Identity(name, "token")
        authorization.admit(call)
        audit.observe(call, OUTCOME)
    (metric,) = registry.collect()
    totals: dict[str, float] = {}
    for sample in metric.samples:
        if sample.name.endswith("_total"):
            name = sample.labels["identity"]
            totals[name] = totals.get(name, 0) + sample.value
    assert totals == {"alice": 2, "bob": 1, OTHERS: 2}


OUTCOME = Outcome(RESOURCE_EXHAUSTED, 0.001)


@pytest.mark.parametrize("kind", KINDS[:1])
def test_without_a_policy_nothing_is_counted(serving, server_sort, kind, recorder, registry):
    with serving(server_sort, Audit(registry), recorder) as client:
        client.call(kind, b"hello")
        recorder.wait(1)
    assert [metric.samples for metric in registry.collect()] == [[]]


def test_standard_stages_audit_where_there_are_metrics_and_a_policy(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("anonymous: [test.Echo/unary_unary]")
    assert any(isinstance(stage, Audit) for stage in standard_stages(policy=policy, metrics=True))
    assert not any(isinstance(stage, Audit) for stage in standard_stages(policy=policy))
    assert not any(isinstance(stage, Audit) for stage in standard_stages(metrics=True))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "roadstead.service.interceptors.audit")
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[metrics\]"):
        importlib.import_module("roadstead.service.interceptors.audit")


def test_methods_that_are_not_here_are_counted_as_one(registry, serving, server_sort, recorder):
    """Anybody can think of any number of names."""
    with serving(server_sort, Audit(registry), recorder, Authentication(Passwords())) as client:
        for number in range(5):
            client.call("unary_unary", b"", method=f"Made-{number}")
        recorder.wait(5)
    (metric,) = registry.collect()
    (sample,) = [sample for sample in metric.samples if sample.name.endswith("_total")]
    assert (sample.labels["grpc_service"], sample.labels["grpc_method"], sample.value) == ("unknown", "unknown", 5)

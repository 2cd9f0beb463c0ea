"""A translation that goes on says the same as one from the beginning, whatever changes; and it does no more work."""

import copy
from collections.abc import Iterable
from typing import Any

import gateway_objects as made
import msgspec
import pytest
from gateway_objects import GATEWAY, PROXY, backend, method, rule
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.stateful import rule as step

from roadstead.api.objects import Object, ObjectKey
from roadstead.gateway.gather import Gathering
from roadstead.gateway.ir import Proxies, Proxy, ProxyState
from roadstead.gateway.translate import Translator, everything, translate, translator

NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES = st.sampled_from([made.NAMESPACE, made.NAMESPACE, "elsewhere"])
HOSTS = ["a.example.com", "b.example.com", "*.example.com", "example.com", "*.com", "a.b.example.com"]
LISTENERS = [
    made.http_listener("any", allowedRoutes={"namespaces": {"from": "All"}}),
    made.http_listener("example", "*.example.com"),
    made.http_listener("exact", "a.example.com", allowedRoutes={"kinds": [{"kind": "GRPCRoute"}]}),
    made.http_listener("other", port=8080, allowedRoutes={"namespaces": {"from": "Selector", "selector": {}}}),
    made.https_listener("secure", "a.example.com"),
    made.https_listener("wide", "*.example.com", secret="b"),
    made.https_listener("pass", "*.com") | {"protocol": "TLS", "tls": {"mode": "Passthrough"}},
    made.tcp_listener(),
]
STRICT = {"roadstead.dev/route-overlap": "strict"}
TEXTS = st.sampled_from(["", "any", "example", "secure", "nobody"])
PARENTS = st.builds(
    lambda name, section: {"name": name} | ({"sectionName": section} if section else {}),
    st.sampled_from([GATEWAY.name, "second"]),
    TEXTS,
) | st.just({"kind": "ListenerSet", "name": "more"})
BACKENDS = st.builds(backend, NAMES, st.sampled_from([50051, 50052]), weight=st.sampled_from([0, 1, 2])) | st.builds(
    backend, NAMES, namespace=st.just("elsewhere")
)
TIMES = st.sampled_from(["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"])
MATCHES = st.sampled_from([[], method("a.B"), method("a.B", "C"), [method("x.Y")]]).map(
    lambda one: one if isinstance(one, list) else [one]
)
RULES = st.builds(lambda to, matches: rule(*to, matches=matches), st.lists(BACKENDS, max_size=2), MATCHES)
HOSTNAMES = st.lists(st.sampled_from(HOSTS), max_size=2)


class Translating(RuleBasedStateMachine):
    """Objects come, change and go; after each step both translations are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.caches: dict[str, dict[ObjectKey, Object]] = {name: {} for name in made.READ_KINDS}
        self.states: dict[str, ProxyState] = {}
        self.gathering = Gathering(self.caches, self, frozenset({made.CONTROLLER_NAME}), None)  # type: ignore[arg-type]
        self.translator = Translator()
        self.said: dict[Any, Any] = {}

    def state(self, key: str) -> ProxyState:
        return self.states.get(key, ProxyState())

    def have(self, obj: Object) -> None:
        """Let an object be as it is here, under its kind and name."""
        field = made.field_of(obj)
        key = ObjectKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        old = self.caches[field].get(key)
        self.caches[field][key] = copy.deepcopy(obj)
        self.gathering.note(field, key, old, self.caches[field][key])

    @initialize()
    def begin(self) -> None:
        """Begin with a cluster in which much refers to much: what is drawn later then meets something."""
        own, other = made.NAMESPACE, "elsewhere"
        for obj in (
            made.gateway_class(),
            made.gateway(LISTENERS[0], LISTENERS[1], *LISTENERS[4:], allowedListeners={"namespaces": {"from": "All"}}),
            *(made.service(name, namespace=namespace) for name in "abc" for namespace in (own, other)),
            *(made.endpoint_slice(name, "10.0.0.1") for name in "abc"),
            made.secret("example-gateway", made.key_pair("a.example.com")),
            made.secret("b", made.key_pair("*.example.com")),
            made.grpc_route("a", rule(backend("a"), matches=[method("a.B")]), hostnames=["a.example.com"]),
            made.grpc_route("b", rule(backend("a", weight=1), backend("b", weight=2)), hostnames=["*.example.com"]),
            made.http_route("c", rule(backend("c", 50052)), hostnames=["example.com"]),
            {**made.grpc_route("a", {"backendRefs": [backend("c")]}, hostnames=["a.b.com"]), "kind": "TLSRoute"},
        ):
            self.have(obj)
        self._policy("b", "a.internal", authorities=True)
        self._authorities(good=True)

    @step(
        listeners=st.lists(st.sampled_from(LISTENERS), max_size=4, unique_by=lambda one: one["name"]), two=st.booleans()
    )
    def edit_gateway(self, listeners: list[Object], two: bool) -> None:
        obj = made.gateway(*listeners, allowedListeners={"namespaces": {"from": "All"}})
        obj["metadata"]["name"] = "second" if two else GATEWAY.name
        self.have(obj)

    @step(strict=st.booleans())
    def be_strict(self, strict: bool) -> None:
        obj = self.caches["gateways"].get(GATEWAY)
        if obj is not None:
            self.have(obj | {"metadata": obj["metadata"] | {"annotations": STRICT if strict else {}}})

    @step(listeners=st.lists(st.sampled_from(LISTENERS), max_size=2, unique_by=lambda one: one["name"]))
    def edit_listener_set(self, listeners: list[Object]) -> None:
        spec = {"parentRef": {"name": GATEWAY.name}, "listeners": listeners}
        self.have(made.namespaced("gateway.networking.k8s.io/v1", "ListenerSet", "more", spec))

    @step(
        kind=st.sampled_from([made.grpc_route, made.grpc_route, made.http_route]),
        name=NAMES,
        rules=st.lists(RULES, max_size=2),
        hostnames=HOSTNAMES,
        parents=st.lists(PARENTS, max_size=2),
        namespace=NAMESPACES,
        time=TIMES,
    )
    def edit_route(
        self, kind: Any, name: str, rules: list[Object], hostnames: list[str], parents: Any, namespace: str, time: str
    ) -> None:
        if kind is made.http_route:
            rules = [{**one, "matches": []} for one in rules]
        self.have(kind(name, *rules, hostnames=hostnames, parents=parents, namespace=namespace, creationTimestamp=time))

    @step(
        kind=st.sampled_from(["TLSRoute", "TCPRoute"]),
        name=NAMES,
        to=st.lists(BACKENDS, max_size=2),
        hostnames=HOSTNAMES,
        time=TIMES,
    )
    def edit_stream_route(self, kind: str, name: str, to: list[Object], hostnames: list[str], time: str) -> None:
        obj = made.grpc_route(name, {"backendRefs": to}, hostnames=hostnames, creationTimestamp=time)
        self.have({**obj, "kind": kind})

    @step(
        name=NAMES, namespace=NAMESPACES, port=st.sampled_from([50051, 50052]), protocol=st.sampled_from([None, "http"])
    )
    def edit_service(self, name: str, namespace: str, port: int, protocol: str | None) -> None:
        self.have(made.service(name, port, namespace=namespace, **({"appProtocol": protocol} if protocol else {})))

    @step(name=NAMES, addresses=st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2"]), unique=True), second=st.booleans())
    def edit_slice(self, name: str, addresses: list[str], second: bool) -> None:
        obj = made.endpoint_slice(name, *addresses)
        obj["metadata"]["name"] = "wandering" if second else name
        self.have(obj)

    @step(name=NAMES, hostname=st.sampled_from(["a.internal", "*"]), authorities=st.booleans())
    def edit_policy(self, name: str, hostname: str, authorities: bool) -> None:
        self._policy(name, hostname, authorities=authorities)

    def _policy(self, name: str, hostname: str, *, authorities: bool) -> None:
        trust = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "authorities"}]}
        spec = {
            "targetRefs": [{"group": "", "kind": "Service", "name": name}],
            "validation": {"hostname": hostname, **(trust if authorities else {"wellKnownCACertificates": "System"})},
        }
        self.have(made.namespaced("gateway.networking.k8s.io/v1", "BackendTLSPolicy", name, spec))

    @step(good=st.booleans())
    def edit_authorities(self, good: bool) -> None:
        self._authorities(good=good)

    def _authorities(self, *, good: bool) -> None:
        text = made.key_pair("ca").certificate.decode() if good else "none"
        metadata = {"name": "authorities", "namespace": made.NAMESPACE}
        self.have(
            made.stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": text}})
        )

    @step(name=st.sampled_from(["example-gateway", "b"]), host=st.sampled_from(HOSTS[:3]))
    def edit_secret(self, name: str, host: str) -> None:
        self.have(made.secret(name, made.key_pair(host)))

    @step(namespace=NAMESPACES, labels=st.sampled_from([{}, {"a": "b"}]))
    def edit_namespace(self, namespace: str, labels: Object) -> None:
        metadata = {"name": namespace, "labels": labels}
        self.have(made.stored({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))

    @step()
    def edit_grant(self) -> None:
        sources = [("gateway.networking.k8s.io", kind, made.NAMESPACE) for kind in ("GRPCRoute", "HTTPRoute")]
        self.have(made.grant("elsewhere", sources, [("", "Service")]))

    @step(name=NAMES, host=st.sampled_from(HOSTS))
    def edit_ingress(self, name: str, host: str) -> None:
        to = {"service": {"name": name, "port": {"number": 50051}}}
        rules = [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": to}]}}]
        spec = {"ingressClassName": "nginx", "rules": rules}
        self.have(made.namespaced("networking.k8s.io/v1", "Ingress", name, spec))

    @step(connected=st.booleans(), settled=st.booleans())
    def hear_of_envoys(self, connected: bool, settled: bool) -> None:
        self.states[PROXY] = ProxyState(int(connected), settled)
        self.gathering.note_proxy(PROXY)

    @step(pick=st.randoms(use_true_random=False))
    def delete(self, pick: Any) -> None:
        found = [(field, key) for field, objects in self.caches.items() for key in objects]
        if found:
            field, key = pick.choice(found)
            self.gathering.note(field, key, self.caches[field].pop(key), None)

    @invariant()
    def both_say_the_same(self) -> None:
        now = self.gathering.resources(made.NOW)
        whole = translate(now)
        self.translator.advance(now, self.gathering.changes())
        self.said |= self.translator.statuses()
        assert without_reserve(self.translator, whole.proxies) == whole.proxies
        assert self.translator.notices == whole.notices
        said = {(one.kind, one.key): one for updates in self.said.values() for one in updates}
        assert said == {(one.kind, one.key): one for one in whole.statuses}


def without_reserve(translator: Translator, others: Proxies) -> Proxies:
    """Return proxies without what is in reserve, and what others do not need: only who goes on knows it."""
    proxies = translator.proxies
    # A route may have something in reserve and serve no host: a more specific listener serves all that it names.
    if not any(route.reserve.former for route in translator._routes.values()):
        return proxies
    return {key: _plain(proxy, others[key]) if key in others else proxy for key, proxy in proxies.items()}


def _plain(proxy: Proxy, other: Proxy) -> Proxy:
    replace = msgspec.structs.replace
    return replace(
        proxy,
        route_tables=tuple(
            replace(table, virtual_hosts=tuple(replace(host, reserve=()) for host in table.virtual_hosts))
            for table in proxy.route_tables
        ),
        clusters=tuple(one for one in proxy.clusters if one in other.clusters),
        endpoints=tuple(one for one in proxy.endpoints if one in other.endpoints),
        trust_bundles=tuple(one for one in proxy.trust_bundles if one in other.trust_bundles),
    )


Translating.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestBothTranslationsSayTheSame = Translating.TestCase


def known(*more: Object, routes: int = 5) -> list[Object]:
    """Return a Gateway with routes, each to a host and a Service of its own."""
    own = [
        obj
        for number in range(routes)
        for obj in (
            made.service(f"svc-{number}"),
            made.endpoint_slice(f"svc-{number}", f"10.0.0.{number + 1}"),
            made.grpc_route(f"r{number}", rule(backend(f"svc-{number}")), hostnames=[f"h{number}.example.com"]),
        )
    ]
    return [made.gateway_class(), made.gateway(), *own, *more]


def advanced(found: Iterable[Object]) -> Translator:
    going, now = Translator(), made.resources(found)
    going.advance(now, everything(now))
    going.statuses()
    return going


def test_one_more_route_makes_nothing_else_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    going = advanced(known())
    before = going.proxies[PROXY]
    planned: list[str] = []
    plan = translator._PLANNERS["grpc_routes"]

    def counting(obj: Object, resources: Any) -> Any:
        planned.append(obj["metadata"]["name"])
        return plan(obj, resources)

    monkeypatch.setattr(translator, "_PLANNERS", {**translator._PLANNERS, "grpc_routes": counting})
    more = made.grpc_route("more", rule(backend("svc-1")), hostnames=["more.example.com"])
    going.advance(made.resources(known(more)), {"grpc_routes": [ObjectKey(made.NAMESPACE, "more")]})
    after = going.proxies[PROXY]
    assert planned == ["more"]
    assert (after.clusters, after.endpoints) == (before.clusters, before.endpoints)
    assert after.clusters is before.clusters
    kept = {id(host) for host in before.route_tables[0].virtual_hosts}
    assert [one.name for one in after.route_tables[0].virtual_hosts if id(one) not in kept] == ["more.example.com"]


def test_what_nobody_reads_changes_nothing() -> None:
    going = advanced(known())
    before = going.proxies
    stranger = made.service("stranger")
    going.advance(made.resources(known(stranger)), {"services": [ObjectKey(made.NAMESPACE, "stranger")]})
    assert going.proxies is before
    assert going.statuses() == {}


def test_an_endpoint_that_comes_changes_its_set_alone() -> None:
    going = advanced(known())
    before = going.proxies[PROXY]
    more = made.endpoint_slice("svc-2", "10.0.9.9")
    more["metadata"]["name"] = "another"
    going.advance(made.resources(known(more)), {"endpoint_slices": [ObjectKey(made.NAMESPACE, "svc-2")]})
    after = going.proxies[PROXY]
    assert after.route_tables is before.route_tables or after.route_tables == before.route_tables
    changed = [one.name for one, old in zip(after.endpoints, before.endpoints, strict=True) if one is not old]
    assert changed == [f"{made.NAMESPACE}/svc-2/50051"]


def test_certificates_are_judged_anew_when_time_has_passed() -> None:
    found = [
        made.gateway_class(),
        made.gateway(made.https_listener()),
        made.secret("example-gateway", made.key_pair("a.com")),
    ]
    going = advanced(found)
    later = made.NOW.replace(year=made.NOW.year + 10)
    now = made.resources(found, now=later)
    going.advance(now, {})
    assert [one for updates in going.statuses().values() for one in updates] == list(translate(now).statuses)

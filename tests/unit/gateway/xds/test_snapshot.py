"""Whole proxies: what is encoded again, what is refused, and that any IR encodes."""

import msgspec
import pytest
from envoy.config.listener.v3 import listener_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.gateway import ir
from roadstead.gateway.xds.resources import ResourceType
from roadstead.gateway.xds.snapshot import Encoder, NodeSettings, render
from roadstead.gateway.xds.tables import piece_of

KEY = ir.PrivateKey(b"-----BEGIN PRIVATE KEY-----\nvery private\n-----END PRIVATE KEY-----\n")
MATCH = ir.Match(ir.PathMatch("exact", "/com.example.User/Login"), grpc=True)


def foo_proxy(**changes):
    """Return the proxy of the field's example: one method of one host to one Service, plain and by TLS."""
    route = ir.Route("foo-route/0/0", MATCH, ir.Forward((ir.Destination("user-platform/foo-svc/50051/h2"),)))
    host = ir.VirtualHost("foo.example.com", ("foo.example.com",), (route,))
    chain = ir.FilterChain("foo", ("foo.example.com",), ir.ServerTls(("ns/foo",)), route_table="https-443")
    made = ir.Proxy(
        ir.gateway_proxy_key("user-platform", "example-gateway"),
        ir.Workload("user-platform", "example-gateway"),
        (
            ir.Listener("http-80", 80, 10080, "HTTP", (ir.FilterChain("http-80", route_table="http-80"),)),
            ir.Listener("https-443", 443, 10443, "HTTPS", (chain,)),
        ),
        (ir.RouteTable("http-80", (host,)), ir.RouteTable("https-443", (host,))),
        (ir.Cluster("user-platform/foo-svc/50051/h2", "user-platform/foo-svc/50051", "h2"),),
        (ir.EndpointSet("user-platform/foo-svc/50051", (ir.Endpoint("10.244.0.3", 50051),)),),
        (ir.Certificate("ns/foo", b"chain", KEY),),
        (ir.TrustBundle("ns/ca", b"authorities"),),
    )
    return msgspec.structs.replace(made, **changes)


def changed_between(encoder, before, after):
    one, other = encoder.encode(before), encoder.encode(after)
    return {
        (type_.name, name)
        for type_ in ResourceType
        for name in one.resources[type_].keys() | other.resources[type_].keys()
        if one.resources[type_].get(name) is not other.resources[type_].get(name)
    }


def test_the_whole_proxy_as_it_is_sent(golden):
    golden("proxy", render(foo_proxy()))


def test_private_keys_are_not_rendered():
    assert "very private" not in str(render(foo_proxy()))
    assert render(foo_proxy())["secret"]["certificate:ns/foo"]["tls_certificate"]["private_key"]


def test_an_endpoint_change_encodes_endpoints_only():
    moved = (ir.EndpointSet("user-platform/foo-svc/50051", (ir.Endpoint("10.244.0.9", 50051),)),)
    assert changed_between(Encoder(NodeSettings()), foo_proxy(), foo_proxy(endpoints=moved)) == {
        ("ENDPOINTS", "user-platform/foo-svc/50051")
    }


def test_an_equal_translation_encodes_nothing_again():
    assert changed_between(Encoder(NodeSettings()), foo_proxy(), foo_proxy()) == set()


def test_a_renewed_certificate_changes_its_secret_only():
    renewed = (ir.Certificate("ns/foo", b"new chain", KEY),)
    assert changed_between(Encoder(NodeSettings()), foo_proxy(), foo_proxy(certificates=renewed)) == {
        ("SECRET", "certificate:ns/foo")
    }


def test_a_changed_host_of_a_large_table_changes_its_piece_only():
    hosts = tuple(ir.VirtualHost(f"h{number}.a", (f"h{number}.a",), ()) for number in range(200))
    changed = (*hosts[:50], msgspec.structs.replace(hosts[50], routes=(ir.Route("r", MATCH, ir.DirectResponse(404)),)))
    tables = [(ir.RouteTable("http-80", one),) for one in (hosts, (*changed, *hosts[51:]), (*hosts[:50], *hosts[51:]))]
    encoder, piece = Encoder(NodeSettings()), piece_of("http-80", hosts[50])
    before, after, without = (foo_proxy(route_tables=one) for one in tables)
    assert changed_between(encoder, before, after) == {("ROUTES", piece)}
    assert changed_between(encoder, after, without) == {("ROUTES", piece), ("SCOPE", "http-80/h50.a")}
    assert encoder.encode(before).version == Encoder(NodeSettings()).encode(before).version


def test_a_table_that_becomes_large_makes_its_listener_anew_and_stays_so():
    hosts = tuple(ir.VirtualHost(f"h{number}.a", (f"h{number}.a",), ()) for number in range(200))
    large, small = foo_proxy(route_tables=(ir.RouteTable("http-80", hosts),)), foo_proxy()
    encoder = Encoder(NodeSettings())
    changed = changed_between(encoder, small, large)
    assert {("LISTENER", "http-80"), ("ROUTES", "http-80"), ("SCOPE", "http-80/*")} <= changed
    again = changed_between(encoder, large, small)
    assert ("LISTENER", "http-80") not in again
    assert ("SCOPE", "http-80/*") not in again
    assert ("SCOPE", "http-80/h7.a") in again


def test_two_processes_agree_on_versions():
    assert Encoder(NodeSettings()).encode(foo_proxy()) == Encoder(NodeSettings()).encode(foo_proxy())


def test_every_listener_binds_the_nodes_own_address():
    encoded = Encoder(NodeSettings(bind="127.8.0.1")).encode(foo_proxy())
    for each in encoded.resources[ResourceType.LISTENER].values():
        assert listener_pb2.Listener.FromString(each.body).address.socket_address.address == "127.8.0.1"


def test_the_readiness_port_is_part_of_it_unless_it_is_off():
    assert "roadstead-ready" in Encoder(NodeSettings()).encode(foo_proxy()).resources[ResourceType.LISTENER]
    assert (
        "roadstead-ready"
        not in Encoder(NodeSettings(ready_port=0)).encode(foo_proxy()).resources[ResourceType.LISTENER]
    )


@pytest.mark.parametrize("wish", [{"session": ir.SessionPersistence("cookie", "pod")}, {"cors": ir.Cors()}])
def test_a_session_or_cors_on_some_route_puts_the_filter_into_the_listeners(wish):
    hosts = (ir.VirtualHost("v", ("*",), (ir.Route("r", MATCH, ir.Forward((ir.Destination("c"),), **wish)),)),)
    tables = (ir.RouteTable("http-80", hosts), foo_proxy().route_tables[1])
    changed = changed_between(Encoder(NodeSettings()), foo_proxy(), foo_proxy(route_tables=tables))
    assert changed == {("ROUTES", "http-80"), ("LISTENER", "http-80"), ("LISTENER", "https-443")}


def test_what_protobuf_cannot_hold_is_refused_by_name_and_the_rest_stays():
    encoder = Encoder(NodeSettings())
    good = encoder.encode(foo_proxy())
    (host,) = foo_proxy().route_tables[0].virtual_hosts
    bad_table = ir.RouteTable("http-80", (msgspec.structs.replace(host, name="\ud800"),))
    proxy = foo_proxy(route_tables=(bad_table, foo_proxy().route_tables[1]))
    encoded = encoder.encode(proxy)
    assert [each.resource for each in encoder.refused] == ["routes http-80"]
    assert encoded.resources[ResourceType.ROUTES] == good.resources[ResourceType.ROUTES]
    assert "http-80" not in Encoder(NodeSettings()).encode(proxy).resources[ResourceType.ROUTES]
    encoder.encode(foo_proxy())
    assert encoder.refused == ()


def test_of_a_thousand_hosts_only_the_changed_one_is_encoded_again():
    hosts = tuple(
        ir.VirtualHost(
            f"h{number}", (f"h{number}.example.com",), (ir.Route(f"r{number}", MATCH, ir.DirectResponse(404)),)
        )
        for number in range(1000)
    )
    encoder = Encoder(NodeSettings())
    before = encoder.encode(foo_proxy(route_tables=(ir.RouteTable("http-80", hosts),))).resources
    again = (*hosts[:-1], ir.VirtualHost("new", ("new.example.com",), ()))
    after = encoder.encode(foo_proxy(route_tables=(ir.RouteTable("http-80", again),))).resources
    anew = [name for type_ in after for name, one in after[type_].items() if one is not before.get(type_, {}).get(name)]
    # The piece that the host was in, the piece that it is in, and the scope that leads there.
    assert 0 < len(anew) <= 3


# Any IR encodes

texts = st.text(max_size=12)
numbers = st.integers(-(2**40), 2**40)
amounts = st.floats()
pairs = st.tuples(texts, texts)
values = st.builds(ir.ValueMatch, texts, st.sampled_from(["exact", "regex"]), texts)
edits = st.none() | st.builds(
    ir.HeaderEdits,
    st.lists(pairs, max_size=2).map(tuple),
    st.lists(pairs, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
)
rewrites = st.none() | st.builds(ir.PathRewrite, st.sampled_from(["full", "prefix"]), texts)
destinations = st.builds(ir.Destination, texts, numbers, edits, edits)
retries = st.none() | st.builds(ir.Retry, st.lists(texts, max_size=2).map(tuple), numbers)
forwards = st.builds(
    ir.Forward,
    st.lists(destinations, max_size=3).map(tuple),
    edits,
    edits,
    texts,
    rewrites,
    st.lists(st.builds(ir.Mirror, texts, numbers), max_size=2).map(tuple),
    st.builds(ir.Timeouts, amounts, amounts, amounts, amounts),
    retries,
    st.none() | st.builds(ir.SessionPersistence, st.sampled_from(["cookie", "header"]), texts, amounts, texts),
)
redirects = st.builds(ir.Redirect, numbers, texts, texts, st.none() | numbers, rewrites, edits)
matches = st.builds(
    ir.Match,
    st.builds(ir.PathMatch, st.sampled_from(["exact", "prefix", "regex"]), texts),
    texts,
    st.lists(values, max_size=2).map(tuple),
    st.lists(values, max_size=2).map(tuple),
    st.booleans(),
    st.none() | numbers,
)
a_route = st.builds(ir.Route, texts, matches, forwards | redirects | st.builds(ir.DirectResponse, numbers, texts))
hosts = st.builds(
    ir.VirtualHost, texts, st.lists(texts, max_size=2).map(tuple), st.lists(a_route, max_size=3).map(tuple)
)
server_tls = st.none() | st.builds(
    ir.ServerTls,
    st.lists(texts, max_size=2).map(tuple),
    st.sampled_from(["1.2", "1.3"]),
    st.none() | st.builds(ir.ClientValidation, texts, st.booleans()),
)
chains = st.builds(
    ir.FilterChain,
    texts,
    st.lists(texts, max_size=2).map(tuple),
    server_tls,
    texts,
    st.none() | st.builds(ir.Stream, st.lists(destinations, max_size=2).map(tuple), numbers, texts),
)
listeners = st.builds(
    ir.Listener,
    texts,
    numbers,
    numbers,
    st.sampled_from(["HTTP", "HTTPS", "TLS", "TCP"]),
    st.lists(chains, max_size=2).map(tuple),
)
upstream = st.none() | st.builds(
    ir.UpstreamTls, texts, st.booleans(), texts, st.lists(texts, max_size=2).map(tuple), texts
)
clusters = st.builds(ir.Cluster, texts, texts, st.sampled_from(["h2", "http1", "tcp"]), upstream, numbers)
endpoint_sets = st.builds(
    ir.EndpointSet, texts, st.lists(st.builds(ir.Endpoint, texts, numbers), max_size=3).map(tuple)
)
certificates = st.builds(ir.Certificate, texts, st.binary(max_size=5), st.builds(ir.PrivateKey, st.binary(max_size=5)))
proxies = st.builds(
    ir.Proxy,
    texts,
    st.just(ir.Workload("n", "w")),
    st.lists(listeners, max_size=2).map(tuple),
    st.lists(st.builds(ir.RouteTable, texts, st.lists(hosts, max_size=2).map(tuple)), max_size=2).map(tuple),
    st.lists(clusters, max_size=2).map(tuple),
    st.lists(endpoint_sets, max_size=2).map(tuple),
    st.lists(certificates, max_size=2).map(tuple),
    st.lists(st.builds(ir.TrustBundle, texts, st.binary(max_size=5)), max_size=2).map(tuple),
)


@settings(max_examples=150)
@given(proxies)
def test_any_proxy_encodes_or_says_what_it_cannot(proxy):
    encoder = Encoder(NodeSettings())
    encoded = encoder.encode(proxy)
    names = {each.name for each in proxy.route_tables}
    assert encoded.resources[ResourceType.ROUTES].keys() == names - {
        each.resource.removeprefix("routes ") for each in encoder.refused
    }
    assert encoder.encode(proxy).version == encoded.version

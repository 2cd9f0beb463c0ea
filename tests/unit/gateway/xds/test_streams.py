from roadstead.gateway import ir
from roadstead.gateway.xds.listeners import listener
from roadstead.gateway.xds.messages import as_json


def made(source):
    return as_json(listener(source, "0.0.0.0", ()))


def test_a_listener_that_passes_tls_through(golden):
    weighted = (ir.Destination("foo/tcp", 3), ir.Destination("bar/tcp", 1))
    stream = ir.Stream(weighted, refused=2, source=ir.RouteSource("TLSRoute", "ns", "pass"))
    chain = ir.FilterChain("pass", ("*.example.com",), stream=stream)
    golden("listener-passthrough", made(ir.Listener("tls", 8443, 8443, "TLS", (chain,))))


def test_connections_without_a_destination_lead_nowhere():
    chain = ir.FilterChain("none", stream=ir.Stream(why="no route"))
    proxy = made(ir.Listener("tls", 443, 443, "TLS", (chain,)))["filter_chains"][0]["filters"][0]["typed_config"]
    assert proxy["weighted_clusters"]["clusters"] == [{"name": "refused", "weight": 1}]


def test_a_percent_sign_in_a_name_is_no_command_of_the_access_log():
    stream = ir.Stream(why="50 %", source=ir.RouteSource("TLSRoute", "ns", "r", rule_name="%X"))
    chain = ir.FilterChain("c", stream=stream)
    filters = made(ir.Listener("tls", 443, 443, "TLS", (chain,)))["filter_chains"][0]["filters"]
    shape = filters[0]["typed_config"]["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert (shape["route"], shape["why"]) == ("TLSRoute ns/r rule 0 (%%X)", "50 %%")


def test_a_stream_whose_tls_ends_here_offers_no_http():
    chain = ir.FilterChain(
        "end", (), ir.ServerTls(("ns/rsa",), alpn=()), stream=ir.Stream((ir.Destination("foo/tcp"),))
    )
    socket = made(ir.Listener("tls", 443, 443, "TLS", (chain,)))["filter_chains"][0]["transport_socket"]
    assert "alpn_protocols" not in socket["typed_config"]["common_tls_context"]

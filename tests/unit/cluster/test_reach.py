"""Where Gateways and Ingresses can be reached, whatever ports the machine's user may bind."""

from roadstead.api.objects import ObjectKey
from roadstead.cluster.reach import Entry, entries, entry_for

TLS_LISTENER = {
    "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "*.example.com",
    "tls": {"certificateRefs": [{"name": "web-tls"}]},
}  # fmt: skip
GATEWAY = {
    "metadata": {"name": "edge", "namespace": "web"},
    "spec": {"listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}, TLS_LISTENER]},
    "status": {"addresses": [{"value": "127.1.0.1"}]},
}
ROUTE = {
    "metadata": {"name": "foo", "namespace": "web"},
    "spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["foo.example.com", "foo.example.org"]},
}
INGRESS = {
    "metadata": {"name": "greeter", "namespace": "web"},
    "spec": {
        "tls": [{"hosts": ["greet.example.net"], "secretName": "greet"}],
        "rules": [{"host": "greet.example.net"}, {}],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "127.1.0.2"}]}},
}
SERVICE = {
    "metadata": {"name": "edge", "namespace": "web", "annotations": {"roadstead.dev/host-ports": "80=8080,443=8443"}},
    "status": {"loadBalancer": {"ingress": [{"ip": "127.1.0.1"}]}},
}
SECRET = ObjectKey("web", "web-tls")


def test_a_listener_serves_the_hosts_of_its_routes_that_it_covers() -> None:
    assert entries({"Gateway": [GATEWAY], "GRPCRoute": [ROUTE]}) == [
        Entry("foo.example.com", "127.1.0.1", 80, None, "Gateway web/edge"),
        Entry("foo.example.com", "127.1.0.1", 443, SECRET, "Gateway web/edge"),
        Entry("foo.example.org", "127.1.0.1", 80, None, "Gateway web/edge"),
    ]


def test_what_tls_routes_lead_to_is_no_url() -> None:
    passing = {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}
    gateway = {**GATEWAY, "spec": {"listeners": [passing, {**TLS_LISTENER, "protocol": "TLS"}]}}
    assert entries({"Gateway": [gateway], "GRPCRoute": [ROUTE]}) == []


def test_ports_are_those_of_the_host() -> None:
    found = entries({"Gateway": [GATEWAY], "GRPCRoute": [ROUTE], "Service": [SERVICE]})
    assert {entry.url for entry in found} == {
        "http://foo.example.com:8080", "https://foo.example.com:8443", "http://foo.example.org:8080",
    }  # fmt: skip


def test_an_ingress_serves_its_rules_with_and_without_tls() -> None:
    assert entries({"Ingress": [INGRESS]}) == [
        Entry("*", "127.1.0.2", 80, None, "Ingress web/greeter"),
        Entry("greet.example.net", "127.1.0.2", 80, None, "Ingress web/greeter"),
        Entry("greet.example.net", "127.1.0.2", 443, ObjectKey("web", "greet"), "Ingress web/greeter"),
    ]


def test_the_most_specific_entry_answers_for_a_host() -> None:
    def entry(host: str) -> Entry:
        return Entry(host, "127.1.0.1", 443, SECRET, "")

    found = [entry("*"), entry("*.example.com"), entry("foo.example.com")]
    assert entry_for(found, "foo.example.com", tls=True) == entry("foo.example.com")
    assert entry_for(found, "bar.example.com", tls=True) == entry("*.example.com")
    assert entry_for(found, "example.com", tls=True) == entry("*")
    assert entry_for(found, "foo.example.com", tls=False) is None

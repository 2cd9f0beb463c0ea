"""Which way a request takes, from a URL to what every proxy does with it."""

import asyncio

import gateway_objects as given
import pytest
from described_service import DescribedService, file_of

from roadstead.cluster.routing import Question, live_proxies, ways
from roadstead.gateway.infra import selector

FOO = given.grpc_route("foo-route", given.rule(given.backend("foo-svc")), hostnames=["foo.example.com"])


def proxies(*more, listeners=()):
    certificate = given.secret("example-gateway", given.key_pair("foo.example.com", "bar.example.com"))
    gateway = given.gateway(*(listeners or (given.http_listener(), given.https_listener())))
    served = [given.service("foo-svc"), given.endpoint_slice("foo-svc", "10.244.0.5"), FOO]
    return given.translated(given.gateway_class(), certificate, gateway, *served, *more).proxies


def test_a_grpc_url_is_a_method() -> None:
    question = Question.of("grpcs://foo.example.com/com.example.User/Login", {"Env": "canary"})
    assert question.request(443).headers == {"content-type": "application/grpc", "env": "canary"}
    assert (question.usual_port, question.method, question.request(443).server_name) == (443, "POST", "foo.example.com")


def test_an_http_url_keeps_its_query_port_and_method() -> None:
    question = Question.of("http://shop.example.com:8080/cart?id=7", {}, "DELETE")
    assert (question.usual_port, question.path, question.method, question.grpc) == (8080, "/cart?id=7", "DELETE", False)
    assert question.request(8080).server_name == ""


@pytest.mark.parametrize(
    ("url", "method", "said"),
    [
        ("foo.example.com/a/b", "", "not of the form grpcs://HOST"),
        ("grpcs://foo.example.com/Login", "", "not of the form grpcs://HOST/SERVICE/METHOD"),
        ("grpcs://foo.example.com//Login", "", "not of the form grpcs://HOST/SERVICE/METHOD"),
        ("https://foo.example.com:99999/", "", "not a URL"),
        ("grpcs://foo.example.com/a/b", "GET", "use https://"),
    ],
)
def test_what_is_no_request_is_said(url, method, said) -> None:
    with pytest.raises(ValueError, match=said):
        Question.of(url, {}, method)


def test_only_proxies_with_a_route_for_the_host_are_asked() -> None:
    other = given.namespaced(
        "gateway.networking.k8s.io/v1",
        "Gateway",
        "other",
        {"gatewayClassName": "roadstead", "listeners": [given.http_listener()]},
    )
    question = Question.of("grpc://foo.example.com/com.example.User/Login", {})
    [way] = ways(proxies(other), question)
    assert way.proxy.key == given.PROXY
    assert way.explanation.outcomes[0].route.source.name == "foo-route"


def test_if_nobody_has_a_route_every_proxy_says_so() -> None:
    [way] = ways(proxies(listeners=[given.http_listener(hostname="*.example.com")]), Question.of("http://x.org/", {}))
    assert not way.serves_host
    assert "no listener serves this host" in way.explanation.outcomes[0].action.message


def test_without_a_port_any_listener_of_the_kind_will_do() -> None:
    unusual = proxies(listeners=[given.http_listener(port=8080)])
    [way] = ways(unusual, Question.of("grpc://foo.example.com/a.B/C", {}))
    assert way.request.port == 8080
    assert ways(unusual, Question.of("grpc://foo.example.com:81/a.B/C", {})) == []
    assert ways(unusual, Question.of("grpcs://foo.example.com/a.B/C", {})) == []


class _Objects:
    """A cluster that only lists."""

    def __init__(self, *found) -> None:
        self._found = found

    async def list(self, kind, namespace="", *, label_selector="") -> list:
        return [obj for obj in self._found if obj["kind"] == kind.kind]


def test_json_comes_from_what_backends_tell_of_themselves_through_their_envoy(tmp_path) -> None:
    matched = given.rule(given.backend("foo-svc"), matches=[given.method("shop.Shop", "Get")])
    route = given.grpc_route("shop", matched, annotations={"roadstead.dev/json-transcoding": "reflection"})
    objects = [given.gateway_class(), given.gateway(), given.service("foo-svc"), route]
    proxy = given.translated(*objects).proxies[given.PROXY]
    metadata = {"name": "envoy", "namespace": given.NAMESPACE, "labels": selector(proxy)}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"podIP": "10.244.0.9"}}
    file = file_of("shop.Shop", {"Get": {"get": "/v1/items/{name}"}})
    question = Question.of("http://shop.example.com/v1/items/tea", {})

    async def decided(*pods) -> list[str]:
        found = await live_proxies(_Objects(*objects, *pods), given.NOW, tmp_path)
        [way] = ways(found, question)
        return [str(outcome.route.source or "") for outcome in way.explanation.outcomes]

    async def test() -> None:
        assert await decided() == [""]
        assert await decided(pod) == [""], "its Envoy does not listen yet"
        envoy = DescribedService(file, reflects=("grpc.reflection.v1.ServerReflection",))
        await envoy.start(f"unix:{tmp_path}/10.244.0.9")
        assert await decided(pod) == [f"GRPCRoute {given.NAMESPACE}/shop rule 0"]
        await envoy.stop()

    asyncio.run(test())

"""JSON over HTTP reaches gRPC services: by the paths of google.api.http, by gRPC's own, with the rules of the route."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gateway_objects as made
import pytest
from described_service import DescribedService, descriptor_set, file_of
from envoy_bed import HERE, run, running
from free_ports import free_port

from roadstead.api.objects import Object
from roadstead.gateway import ir

pytestmark = pytest.mark.e2e

SHOP = file_of(
    "shop.v1.Shop",
    {
        "Get": {"get": "/v1/items/{name}"},
        "Add": {"post": "/v1/items", "body": "*"},
        "ListItems": {"get": "/v1/items:list"},
        "Buy": {},
        "Hidden": {"get": "/v1/hidden"},
    },
)
JSON = {"content-type": "application/json"}
Answer = tuple[int, Any]


def described(kind: str = "ConfigMap") -> Object:
    metadata = {"name": "shop", "namespace": made.NAMESPACE}
    content = {"shop.binpb": base64.b64encode(descriptor_set(SHOP)).decode()}
    return made.stored(
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": metadata,
            "binaryData" if kind == "ConfigMap" else "data": content,
        }
    )


def served(port: int, stable: DescribedService, canary: DescribedService, source: str, *more: Object) -> ir.Proxy:
    """Return a Gateway with a GRPCRoute to some of the shop's methods, where canaries go elsewhere."""
    matches = [made.method("shop.v1.Shop", name) for name in ("Get", "Add", "Buy", "ListItems")]
    only_canaries = [match | {"headers": [{"name": "env", "value": "canary"}]} for match in matches]
    route = made.grpc_route(
        "shop",
        made.rule(made.backend("canary"), matches=only_canaries),
        made.rule(made.backend("stable"), matches=matches),
        annotations={"roadstead.dev/json-transcoding": source},
    )
    objects: list[Object] = [route, *more]
    for name, service in (("stable", stable), ("canary", canary)):
        objects += [made.service(name), made.endpoint_slice(name, HERE, port=service.port)]
    gateway = made.gateway(made.http_listener(port=port))
    return made.translated(made.gateway_class(), gateway, *objects).proxies[made.PROXY]


async def send(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """Return status and body, decoded if it is JSON."""
    return await asyncio.to_thread(_send, port, method, path, body, headers or {})


def _send(port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    with closing(HTTPConnection(HERE, port, timeout=10)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, json.loads(content) if is_json else content.decode()


Test = Callable[[int, DescribedService, DescribedService], Awaitable[None]]


def scenario(tmp_path: Path, test: Test, source: str = "ConfigMap/shop", *objects: Object) -> None:
    async def go() -> None:
        port = free_port()
        stable, canary = await DescribedService(SHOP).start(), await DescribedService(SHOP).start()
        try:
            proxy = served(port, stable, canary, source, *(objects or (described(),)))
            async with running(tmp_path, proxy):
                await test(port, stable, canary)
        finally:
            await stable.stop()
            await canary.stop()

    run(go)


def test_json_by_every_way_that_the_descriptors_tell(tmp_path: Path) -> None:
    async def test(port: int, _stable: DescribedService, _canary: DescribedService) -> None:
        assert await send(port, "GET", "/v1/items/tea?count=3") == (200, {"name": "TEA", "count": 3})
        assert await send(port, "POST", "/v1/items", {"name": "milk"}, JSON) == (200, {"name": "MILK"})
        assert await send(port, "POST", "/shop.v1.Shop/Get", {"name": "jam"}, JSON) == (200, {"name": "JAM"})
        assert await send(port, "POST", "/shop.v1.Shop/Buy", {"name": "pie"}, JSON) == (200, {"name": "PIE"})
        _, listed = await send(port, "GET", "/v1/items:list?name=x&count=3")
        assert [item.get("count", 0) for item in listed] == [0, 1, 2]

    scenario(tmp_path, test)


def test_a_request_is_routed_as_the_call_that_it_stands_for(tmp_path: Path) -> None:
    async def test(port: int, stable: DescribedService, canary: DescribedService) -> None:
        assert (await send(port, "GET", "/v1/items/tea", headers={"env": "canary"}))[0] == 200
        assert (stable.calls, canary.calls) == (0, 1)
        assert (await send(port, "GET", "/v1/items/tea"))[0] == 200
        assert (stable.calls, canary.calls) == (1, 1)

    scenario(tmp_path, test)


def test_errors_are_json_with_the_status_that_fits(tmp_path: Path) -> None:
    async def test(port: int, _stable: DescribedService, _canary: DescribedService) -> None:
        status, body = await send(port, "GET", "/v1/items/missing")
        assert (status, body["code"], body["message"]) == (404, 5, "there is no such item")
        status, body = await send(port, "GET", "/v1/items/refused")
        assert (status, body["code"], body["message"]) == (400, 9, "closed")
        (detail,) = body["details"]
        assert (detail["@type"], detail["reason"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "CLOSED")
        assert (await send(port, "POST", "/v1/items", {"count": "many"}, JSON))[0] == 400
        status, body = await send(port, "POST", "/v1/items", {"name": "x" * (5 << 20)}, JSON)
        assert (status, body["code"]) == (429, 8)  # what the backend says of it: it takes 4 MiB

    scenario(tmp_path, test)


def test_what_the_route_does_not_let_through_is_not_offered(tmp_path: Path) -> None:
    async def test(port: int, stable: DescribedService, _canary: DescribedService) -> None:
        for path in ("/v1/hidden", "/v1/items", "/v2/items/tea"):
            assert (await send(port, "GET", path))[0] == 404
        assert (await send(port, "POST", "/shop.v1.Shop/Hidden", {}, JSON))[0] == 404
        assert (await send(port, "POST", "/shop.v1.Shop/Get", {}, {"content-type": "text/plain"}))[0] == 404
        assert stable.calls == 0

    scenario(tmp_path, test)


def test_descriptors_from_a_secret(tmp_path: Path) -> None:
    async def test(port: int, _stable: DescribedService, _canary: DescribedService) -> None:
        assert (await send(port, "GET", "/v1/items/tea"))[0] == 200

    scenario(tmp_path, test, "Secret/shop/shop.binpb", described("Secret"))

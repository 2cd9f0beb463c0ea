"""What `explain` says is what Envoy does: random routes, random requests, both are asked."""

import random
from pathlib import Path

import gateway_objects as made
import grpc
import pytest
from envoy_bed import Backend, call, channel, run, running
from free_ports import free_port

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.explain import Explanation, explain
from roadstead.gateway.matching import Request

pytestmark = pytest.mark.e2e

HOSTS = ["foo.example.com", "bar.example.com", "a.b.example.com", "example.com", "other.org"]
HOSTNAMES = ["foo.example.com", "*.example.com", "*.b.example.com", "example.com", "*.org"]
LISTENERS = ["", "*.example.com", "foo.example.com"]
SERVICES = ["com.example.User", "com.example.Users", "Greeter"]
METHODS = ["Login", "LoginAll", "Get"]
ENVIRONMENTS = ["canary", "beta"]
BACKENDS = ["one", "two", "three"]
CODES = {404: grpc.StatusCode.UNIMPLEMENTED, 503: grpc.StatusCode.UNAVAILABLE}


def some(chance: random.Random, values: list[str], at_most: int = 2) -> list[str]:
    return chance.sample(values, chance.randint(0, at_most))


def random_match(chance: random.Random) -> Object:
    kind = chance.choice(["Exact", "Exact", "RegularExpression"])
    service, name = chance.choice([*SERVICES, ""]), chance.choice([*METHODS, "", ""])
    if kind == "RegularExpression":
        service, name = service and f"{service}s?", name and f"{name[:2]}.*"
    match = made.method(service, name, type=kind) if service or name else {}
    headers = [{"name": "Env", "value": value} for value in some(chance, ENVIRONMENTS, 1)]
    return match | ({"headers": headers} if headers else {})


def random_route(chance: random.Random, number: int) -> Object:
    rules = [
        made.rule(
            made.backend(chance.choice([*BACKENDS, *BACKENDS, "missing"])),
            matches=[random_match(chance) for _ in range(chance.randint(0, 2))],
        )
        for _ in range(chance.randint(1, 3))
    ]
    age = f"2026-11-22T11:{chance.randint(0, 2):02}:00Z"
    return made.grpc_route(f"r{number}", *rules, hostnames=some(chance, HOSTNAMES), creationTimestamp=age)


def random_request(chance: random.Random, port: int) -> Request:
    headers = {"env": chance.choice(ENVIRONMENTS)} if chance.random() < 0.5 else {}
    method = f"{chance.choice([*SERVICES, 'Nobody'])}/{chance.choice([*METHODS, 'Nothing'])}"
    return Request.grpc(port, chance.choice(HOSTS), method, headers)


def expected(told: Explanation) -> str:
    (outcome,) = told.outcomes
    if isinstance(outcome.action, ir.DirectResponse):
        return f"{CODES[outcome.action.status].name}: {outcome.action.message}"
    assert isinstance(outcome.action, ir.Forward)
    return outcome.action.destinations[0].cluster.split("/")[1]


async def answered(request: Request) -> str:
    service, _, method = request.path[1:].partition("/")
    metadata = [(name, value) for name, value in request.headers.items() if name != "content-type"]
    async with channel(request.port, request.host) as over:
        try:
            return await call(over, method, service=service, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"


@pytest.mark.parametrize("seed", range(6))
def test_envoy_does_what_is_explained(seed: int, tmp_path: Path) -> None:
    async def test() -> None:
        chance, port = random.Random(seed), free_port()
        backends = [await Backend(name).start() for name in BACKENDS]
        objects = [random_route(chance, number) for number in range(chance.randint(2, 10))]
        for each in backends:
            objects += [made.service(each.name), made.endpoint_slice(each.name, "127.0.0.1", port=each.port)]
        listeners = [
            made.http_listener(f"l{n}", name, port) for n, name in enumerate(LISTENERS[: chance.randint(1, 3)])
        ]
        proxy = made.translated(made.gateway_class(), made.gateway(*listeners), *objects).proxies[made.PROXY]
        kinds = set()
        async with running(tmp_path, proxy):
            for _ in range(60):
                request = random_request(chance, port)
                told = expected(explain(proxy, request))
                assert await answered(request) == told, request
                kinds.add(told.split(":")[0])
        assert len(kinds) >= 2, kinds

    run(test)

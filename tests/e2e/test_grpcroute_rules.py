"""What GRPCRoute promises beyond the conformance suite's tests, from the manifest to the answer of a real Envoy.

`tests/unit/gateway/test_grpcroute_rules.py` lists which test shows which rule of the specification.
"""

import asyncio
from collections import Counter

import gateway_objects as made
import grpc
import pytest
from envoy_bed import Backend, call, channel, failure, run, running, until
from free_ports import free_port

from roadstead.api.objects import Object

pytestmark = pytest.mark.e2e


def header(name: str, value: str, kind: str = "Exact") -> Object:
    return {"headers": [{"name": name, "value": value, "type": kind}]}


def modifier(kind: str, **edits: object) -> Object:
    field = kind[0].lower() + kind[1:]
    return {"type": kind, field: edits}


def named(name: str, value: str) -> list[Object]:
    return [{"name": name, "value": value}]


def expression(service: str = "", method: str = "") -> Object:
    stated = {"type": "RegularExpression", "service": service, "method": method}
    return {"method": {name: value for name, value in stated.items() if value}}


async def started(*names: str) -> dict[str, Backend]:
    return {name: await Backend(name).start() for name in names}


def ports(backends: dict[str, Backend]) -> dict[str, int]:
    return {name: backend.port for name, backend in backends.items()}


MATCHING = [
    made.rule(made.backend("exact"), matches=[made.method("com.example.User", "Login")]),
    made.rule(made.backend("service"), matches=[made.method("com.example.User")]),
    made.rule(made.backend("method"), matches=[made.method("", "Ping")]),
    made.rule(made.backend("pattern"), matches=[expression(r"com\.example\.(Order|Cart)", "Get.*")]),
    made.rule(
        made.backend("header"), matches=[header("X-Env", "canary"), header("x-user", "a[0-9]+", "RegularExpression")]
    ),
]
CALLS = [
    ("com.example.User", "Login", {}, "exact"),
    ("com.example.User", "login", {}, "service"),
    ("com.example.user", "Login", {}, None),
    ("com.example.User", "Logout", {}, "service"),
    ("com.example.UserAdmin", "Login", {}, None),
    ("any.Thing", "Ping", {}, "method"),
    ("com.example.Cart", "GetItems", {}, "pattern"),
    ("com.example.Cart", "SetItems", {}, None),
    ("xcom.example.Cart", "GetItems", {}, None),
    ("any.Thing", "Other", {"x-env": "canary"}, "header"),
    ("any.Thing", "Other", {"x-env": "Canary"}, None),
    ("any.Thing", "Other", {"x-user": "a17"}, "header"),
    ("any.Thing", "Other", {"x-user": "ba17"}, None),
    ("com.example.User", "Login", {"x-env": "canary"}, "exact"),
]


def test_methods_mind_their_case_header_names_do_not_and_expressions_match_the_whole(tmp_path):
    async def test():
        port, backends = free_port(), await started("exact", "service", "method", "pattern", "header")
        proxy = made.served_here(port, ports(backends), made.gateway(), made.grpc_route("route", *MATCHING))
        async with running(tmp_path, proxy), channel(port) as over:
            for service, method, metadata, wanted in CALLS:
                sent = tuple(metadata.items())
                if wanted:
                    assert await call(over, method, service=service, metadata=sent) == wanted, (service, method)
                else:
                    error = await failure(call(over, method, service=service, metadata=sent))
                    assert error.code() is grpc.StatusCode.UNIMPLEMENTED, (service, method)

    run(test)


def test_filters_edit_headers_of_all_calls_and_those_of_a_backend_only_its_own(tmp_path):
    async def test():
        port, backends = free_port(), await started("old", "new")
        of_new = [
            modifier("RequestHeaderModifier", set=named("x-version", "new")),
            modifier("ResponseHeaderModifier", add=named("x-from", "new")),
        ]
        rule = made.rule(
            made.backend("old"),
            made.backend("new", filters=of_new),
            filters=[
                modifier("RequestHeaderModifier", set=named("X-Set", "1"), add=named("x-add", "2"), remove=["X-GONE"]),
                modifier("ResponseHeaderModifier", set=named("x-answer", "1")),
            ],
        )
        proxy = made.served_here(port, ports(backends), made.gateway(), made.grpc_route("route", rule))
        async with running(tmp_path, proxy), channel(port) as over:
            for _ in range(40):
                sent = (("x-set", "0"), ("x-gone", "0"), ("x-version", "sent"))
                pending = over.unary_unary("/a.B/C")(b"", timeout=10, metadata=sent)
                answer, told = (await pending).decode(), dict(await pending.initial_metadata())
                seen = backends[answer].metadata
                assert (seen["x-set"], seen["x-add"], seen.get("x-gone")) == ("1", "2", None)
                assert seen["x-version"] == ("new" if answer == "new" else "sent")
                assert told["x-answer"] == "1"
                assert told.get("x-from") == ("new" if answer == "new" else None)
            assert all(backend.calls for backend in backends.values())

    run(test)


def test_the_share_of_invalid_backends_is_unavailable_and_says_why(tmp_path):
    async def test():
        port, backends = free_port(), await started("good")
        rule = made.rule(made.backend("good", weight=3), made.backend("missing", weight=1), made.backend("x", weight=0))
        proxy = made.served_here(port, ports(backends), made.gateway(), made.grpc_route("route", rule))
        async with running(tmp_path, proxy), channel(port) as over:
            found = Counter(await asyncio.gather(*(outcome(over) for _ in range(800))))
        why = "spec.rules[0].backendRefs[1]: Service user-platform/missing does not exist"
        assert found.keys() == {"good", f"UNAVAILABLE: GRPCRoute user-platform/route rule 0: {why}"}
        assert 130 <= 800 - found["good"] <= 270  # 200 expected; outside of this once in 10 million runs

    run(test)


async def outcome(over: grpc.aio.Channel) -> str:
    try:
        return await call(over)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"


@pytest.mark.parametrize(
    ("share", "fewest", "most"),
    [({}, 400, 400), ({"percent": 50}, 130, 270), ({"fraction": {"numerator": 1, "denominator": 4}}, 50, 150)],
)
def test_a_mirror_gets_its_share_and_nobody_waits_for_it(share, fewest, most, tmp_path):
    async def test():
        port, backends = free_port(), await started("main", "copy")
        mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": made.backend("copy"), **share}}
        nowhere = {"type": "RequestMirror", "requestMirror": {"backendRef": made.backend("missing")}}
        rule = made.rule(made.backend("main"), filters=[mirror, nowhere])
        proxy = made.served_here(port, ports(backends), made.gateway(), made.grpc_route("route", rule))
        async with running(tmp_path, proxy), channel(port) as over:
            assert await asyncio.gather(*(call(over) for _ in range(400))) == ["main"] * 400
            assert fewest <= await copies(backends["copy"], fewest) <= most

    run(test)


async def copies(backend: Backend, fewest: int) -> int:
    """Return how many calls have come when no more come: Envoy's answers do not wait for them."""
    await until(lambda: backend.calls >= fewest, "the copies come")
    before = -1
    while before != backend.calls:
        before = backend.calls
        await asyncio.sleep(0.3)
    return backend.calls


def test_a_filter_that_cannot_be_resolved_is_not_skipped(tmp_path):
    async def test():
        port, backends = free_port(), await started("good")
        extension = {"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Filter", "name": "auth"}}
        rules = [
            made.rule(made.backend("good"), matches=[made.method("a.B", "Guarded")], filters=[extension]),
            made.rule(made.backend("good")),
        ]
        proxy = made.served_here(port, ports(backends), made.gateway(), made.grpc_route("route", *rules))
        async with running(tmp_path, proxy), channel(port) as over:
            error = await failure(call(over, "Guarded", service="a.B"))
            assert error.code() is grpc.StatusCode.UNKNOWN
            assert "Filter.example.com auth is not a filter that Roadstead has" in error.details()
            assert await call(over, "Open", service="a.B") == "good"

    run(test)

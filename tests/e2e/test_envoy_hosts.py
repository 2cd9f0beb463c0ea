"""Which host a request meets, though no Envoy has the whole route table in one place; and edits of many hosts."""

import asyncio
import itertools

import grpc
import pytest
from envoy_bed import (
    KEY,
    SERVICE,
    Backend,
    Load,
    any_grpc,
    call,
    channel,
    cluster,
    failure,
    forward,
    free_port,
    host,
    http_get,
    http_listener,
    proxy,
    run,
    running,
    until,
)

from roadstead.gateway import ir
from roadstead.gateway.xds import tables
from roadstead.gateway.xds.scopes import KEY as HEADER

pytestmark = pytest.mark.e2e

NAMES = ("exact", "wide", "wider", "any")
DOMAINS = {"exact": "foo.example.com", "wide": "*.example.com", "wider": "*.com", "any": "*"}


def serving(port, *names, services=()):
    hosts = [host((any_grpc(), forward(name)), domains=(DOMAINS[name],)) for name in names]
    return proxy([http_listener(port)], hosts, services)


@pytest.fixture(params=["whole", "pieces"])
def shape(request, monkeypatch):
    """Have every table sent whole, or in pieces."""
    if request.param == "pieces":
        monkeypatch.setattr(tables, "SPREAD_FROM", 0)


@pytest.fixture
def backends():
    async def start():
        return {name: await Backend(name).start() for name in NAMES}

    return start


def test_hosts_are_found_however_they_are_written(tmp_path, backends, shape):
    async def test():
        found, port = await backends(), free_port()
        services = [cluster(name, backend) for name, backend in found.items()]
        async with running(tmp_path, serving(port, *NAMES, services=services)):
            for written, name in {
                "foo.example.com": "exact",
                "foo.example.com:8443": "exact",
                "FOO.Example.com": "exact",
                "FOO.example.COM:80": "exact",
                "foo.example.com.": "exact",
                "bar.example.com": "wide",
                "BAR.example.com": "wide",
                "a.b.example.com:80": "wide",
                "example.com": "wider",
                "example.org": "any",
                "EXAMPLE.org": "any",
                "*": "any",
                "[::1]:80": "any",
            }.items():
                async with channel(port, written) as over:
                    assert await call(over) == name, written

    run(test)


def test_nobody_but_envoy_sees_or_says_how_a_host_was_found(tmp_path, backends, monkeypatch):
    monkeypatch.setattr(tables, "SPREAD_FROM", 0)

    async def test():
        found, port = await backends(), free_port()
        services = [cluster(name, backend) for name, backend in found.items()]
        async with running(tmp_path, serving(port, "exact", "any", services=services)):
            for written, name in {"foo.example.com": "exact", "bar.org": "any"}.items():
                async with channel(port, written) as over:
                    answer = await over.unary_unary(f"/{SERVICE}/Login")(b"", metadata=((HEADER, "x/*"),), timeout=10)
                    assert answer == name.encode()
                    assert HEADER not in found[name].metadata

    run(test)


def test_a_host_that_gets_its_own_routes_and_loses_them_is_served_all_the_time(tmp_path, backends, shape):
    async def test():
        found, port = await backends(), free_port()
        services = [cluster(name, backend) for name, backend in found.items()]
        with_exact = serving(port, "exact", "wide", services=services)
        without = serving(port, "wide", services=services)
        async with running(tmp_path, without) as bed, Load(port) as load:
            for edition in [with_exact, without] * 20:
                await bed.serve(edition)
                seen = load.count
                await until(lambda seen=seen: load.count > seen + 3, "calls go on")
        assert load.failures == []
        assert set(load.answers) == {"exact", "wide"}

    run(test)


def test_a_refused_rule_holds_back_neither_other_hosts_nor_what_changes_later(tmp_path, backends, shape):
    async def test():
        found, port = await backends(), free_port()
        services = [cluster(name, backend) for name, backend in found.items()]
        rule = ir.Route("bad", ir.Match(ir.PathMatch("regex", "("), grpc=True), forward("wide"))
        bad = ir.VirtualHost("bad", ("bad.example.com",), (rule,))

        def beside(name):
            good = host((any_grpc(), forward(name)), domains=("foo.example.com",))
            return proxy([http_listener(port)], [good, bad], services)

        async with running(tmp_path, beside("wide")) as bed, channel(port) as over:
            assert await call(over) == "wide"
            state = await bed.serve(beside("exact"))
            assert [each.resource for each in state.rejections] == ["routes http"]
            assert await call(over) == "exact"

    run(test)


def test_a_listener_that_goes_and_comes_back_finds_its_hosts_again(tmp_path, backends, shape):
    async def test():
        found, port = await backends(), free_port()
        services = [cluster(name, backend) for name, backend in found.items()]
        whole, other = serving(port, *NAMES, services=services), serving(port, "wide", services=services)
        async with running(tmp_path, whole) as bed:
            await bed.serve(ir.Proxy(KEY, whole.workload))
            await until(lambda: _is_closed(port), "the listener is gone")
            await bed.serve(other)
            async with channel(port) as over:
                assert await until(lambda: _answer(over), "it is back") == "wide"
            async with channel(port, "example.org") as over:
                assert (await failure(call(over))).code() is grpc.StatusCode.UNIMPLEMENTED

    run(test)


async def _is_closed(port):
    status, _ = await http_get(port, "/")
    return status == 0


async def _answer(over):
    try:
        return await call(over)
    except grpc.aio.AioRpcError:
        return None


def test_a_table_that_becomes_large_loses_no_call_and_no_stream(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()

        def with_hosts(count):
            names = ["foo.example.com", *(f"h{each}.example.com" for each in range(count))]
            hosts = [host((any_grpc(), forward("foo")), domains=(name,)) for name in names]
            return proxy([http_listener(port)], hosts, [cluster("foo", foo)])

        async with running(tmp_path, with_hosts(3)) as bed, Load(port) as load, channel(port) as over:
            stream = over.unary_stream(f"/{SERVICE}/Stream")(b"")
            assert await stream.read() == b"foo"
            for count in (tables.SPREAD_FROM, 3, tables.SPREAD_FROM + 40, 3):
                await bed.serve(with_hosts(count))
                seen = load.count
                await until(lambda seen=seen: load.count > seen + 20, "calls go on")
            assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
            stream.cancel()
        assert load.failures == []

    run(test)


def test_a_thousand_edits_under_load_fail_no_call(tmp_path, monkeypatch):
    """Each edit moves the called host to a cluster that Envoy has never seen, and other hosts come and go with it."""
    monkeypatch.setattr(tables, "SPREAD_FROM", 20)

    async def test():
        foo, port = await Backend("foo").start(), free_port()

        def edition(number):
            names = ["foo.example.com", *(f"h{each}.example.com" for each in range(number % 7, 40, 1 + number % 3))]
            hosts = [host((any_grpc(), forward(f"foo-{number}")), domains=(name,)) for name in names]
            return proxy([http_listener(port)], hosts, [cluster(f"foo-{number}", foo)])

        async with running(tmp_path, edition(0)) as bed, Load(port) as load:
            pace = itertools.cycle(
                [0, 0, 0, 1]
            )  # Some edits overtake others, some have been taken when the next comes.
            for number in range(1, 1001):
                bed.server.update({KEY: edition(number)})
                await (bed.settled() if next(pace) else asyncio.sleep(0))
            await bed.settled()
            seen = load.count
            await until(lambda: load.count > seen + 20, "the last edition answers")
            _, clusters = await http_get(bed.envoy.admin_port, "/clusters")
            assert "foo-1000/h2::" in clusters
            assert "foo-999/h2::" not in clusters
        assert load.failures == []

    run(test)

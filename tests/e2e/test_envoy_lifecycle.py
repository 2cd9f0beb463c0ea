"""Changes while requests run: endpoints, routes and certificates come and go, processes restart, nothing is lost."""

import asyncio

import grpc
import pytest
from envoy_bed import (
    KEY,
    Backend,
    Bed,
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
    method,
    proxy,
    run,
    running,
    until,
)

from roadstead.gateway import ir
from roadstead.gateway.xds import XdsServer

pytestmark = pytest.mark.e2e


def test_an_endpoint_goes_under_load_and_nothing_is_lost(tmp_path):
    async def test():
        replicas = [await Backend(f"foo-{number}").start() for number in range(3)]
        port = free_port()

        def with_replicas(*members):
            return proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", *members)])

        async with running(tmp_path, with_replicas(*replicas)) as bed, Load(port) as load:
            for gone in (0, 1, 2) * 3:
                await bed.serve(with_replicas(*(each for each in replicas if each is not replicas[gone])))
                await asyncio.sleep(0.02)
            await bed.serve(with_replicas(replicas[2]))
            await asyncio.gather(replicas[0].stop(5), replicas[1].stop(5))
            seen = load.answers.get("foo-2", 0)
            await until(lambda: load.answers.get("foo-2", 0) > seen + 20, "the last replica answers")
        assert load.failures == []
        assert set(load.answers) == {"foo-0", "foo-1", "foo-2"}

    run(test)


def test_every_edit_of_routes_and_clusters_under_load_loses_nothing(tmp_path):
    """Each edit moves the route to a cluster that Envoy has never seen, and takes the one before away."""

    async def test():
        foo, port = await Backend("foo").start(), free_port()

        def edition(number):
            return proxy(
                [http_listener(port)],
                [host((any_grpc(), forward(f"foo-{number}")))],
                [cluster(f"foo-{number}", foo)],
            )

        async with running(tmp_path, edition(0)) as bed, Load(port) as load:
            for number in range(1, 60):
                bed.server.update({KEY: edition(number)})
                if number % 3:
                    await bed.settled()
            await bed.settled()
            seen = load.count
            await until(lambda: load.count > seen + 20, "the last edition answers")
            _, clusters = await http_get(bed.envoy.admin_port, "/clusters")
            assert "foo-59/h2::" in clusters
            assert "foo-58/h2::" not in clusters
        assert load.failures == []

    run(test)


def test_listeners_come_and_go_while_another_serves(tmp_path):
    async def test():
        foo, port, other = await Backend("foo").start(), free_port(), free_port()

        def listening(*ports):
            hosts = [host((any_grpc(), forward("foo")))]
            return proxy([http_listener(each) for each in ports], hosts, [cluster("foo", foo)])

        async with running(tmp_path, listening(port)) as bed, Load(port) as load:
            await bed.serve(listening(port, other))
            async with channel(other) as over:
                assert await call(over) == "foo"
            await bed.serve(listening(port))
            await until(lambda: _is_closed(other), "the listener is gone")
        assert load.failures == []

    run(test)


async def _is_closed(port: int) -> bool:
    status, _ = await http_get(port, "/")
    return status == 0


@pytest.mark.parametrize("others", [0, 200], ids=["in a small table", "in a large table"])
def test_a_rule_that_envoy_refuses_is_left_out_and_everything_beside_it_is_served(tmp_path, others):
    async def test():
        foo, bar, port = await Backend("foo").start(), await Backend("bar").start(), free_port()
        services = [cluster("foo", foo), cluster("bar", bar)]

        def regex(pattern, rule, service):
            source = ir.RouteSource("GRPCRoute", "user-platform", "foo-route", rule)
            return ir.Route(
                f"rule {rule}", ir.Match(ir.PathMatch("regex", pattern), grpc=True), forward(service), source
            )

        def serving(*found):
            names = ["foo.example.com", *(f"h{number}.example.com" for number in range(others)), "*"]
            hosts = [ir.VirtualHost(name, (name,), found) for name in names]
            return proxy([http_listener(port)], hosts, services)

        good, too_large = (
            regex("/com[.]example.*/Login", 0, "foo"),
            regex("/(" + "abcdefghij" * 4 + "){1000}", 1, "bar"),
        )
        async with running(tmp_path, serving(good)) as bed, Load(port) as load, channel(port) as over:
            state = await bed.serve(serving(too_large, good))
            (rejection,) = state.rejections
            assert rejection.resource == "routes http (GRPCRoute user-platform/foo-route rule 1)"
            assert "RE2 program size" in rejection.message
            before = await refusals(bed)
            for service in ("bar", "foo", "bar"):
                state = await bed.serve(serving(too_large, good, regex("/.*/Other", 2, service)))
                assert state.rejections == (rejection,)
                assert await call(over, "Other") == service, "later changes of the port arrive"
            assert await refusals(bed) == before, "Envoy is not asked again and again"
            state = await bed.serve(serving(regex("/.*/Mended", 1, "bar"), good))
            assert state.rejections == ()
            assert await call(over, "Mended") == "bar"
        assert load.failures == []
        assert set(load.answers) == {"foo"}

    run(test)


async def refusals(bed: Bed) -> list[str]:
    """Return how often Envoy has refused each route table."""
    _, statistics = await http_get(bed.envoy.admin_port, "/stats?filter=rds.*update_rejected")
    return sorted(line for line in statistics.splitlines() if "rds.http" in line)


def test_where_envoys_words_name_no_rule_the_one_at_fault_is_found_all_the_same(tmp_path):
    """Expressions elsewhere than in a match are not looked for in what Envoy says."""

    async def test():
        foo, port = await Backend("foo").start(), free_port()
        pairs = [(method(f"M{number}"), forward("foo")) for number in range(20)]
        bad = (method("Bad"), forward("foo", cors=ir.Cors(origins=("(",))))

        def serving(*found):
            return proxy([http_listener(port)], [host(*found)], [cluster("foo", foo)])

        async with running(tmp_path, serving(*pairs[:10])) as bed, channel(port) as over:
            state = await bed.serve(serving(*pairs, bad))
            assert len(state.rejections) == 1
            assert [await call(over, f"M{number}") for number in range(20)] == ["foo"] * 20
            assert (await failure(call(over, "Bad"))).code() is grpc.StatusCode.UNIMPLEMENTED

    run(test)


def test_a_bad_resource_does_not_hold_up_good_ones_that_travel_with_it(tmp_path):
    async def test():
        foo, ports = await Backend("foo").start(), [free_port(), free_port(), free_port()]
        pattern = ir.Match(ir.PathMatch("regex", "("))
        tables = [ir.RouteTable(f"table-{each}", (host((any_grpc(), forward("foo"))),)) for each in ports]
        tables[1] = ir.RouteTable(tables[1].name, (host((pattern, forward("foo"))),))
        base = proxy([http_listener(each, f"table-{each}") for each in ports], [], [cluster("foo", foo)])
        served = ir.Proxy(KEY, base.workload, base.listeners, tuple(tables), base.clusters, base.endpoints)
        async with running(tmp_path, served) as bed, channel(ports[0]) as first, channel(ports[2]) as last:
            assert (await call(first), await call(last)) == ("foo", "foo")
            assert [each.resource for each in bed.state.rejections] == [f"routes table-{ports[1]}"]

    run(test)


def test_envoy_serves_on_while_the_control_plane_restarts_and_nothing_flaps(tmp_path):
    async def test():
        foo, bar, port = await Backend("foo").start(), await Backend("bar").start(), free_port()

        def serving(name, backend):
            return proxy([http_listener(port)], [host((any_grpc(), forward(name)))], [cluster(name, backend)])

        async with running(tmp_path, serving("foo", foo)) as bed, Load(port) as load:
            await bed.server.stop()
            seen = load.count
            await until(lambda: load.count > seen + 20, "Envoy serves without a control plane")
            bed.server = XdsServer()
            await bed.server.start(bed.socket)
            await until(lambda: bed.state.connected, "Envoy has reconnected")
            seen = load.count
            await until(lambda: load.count > seen + 20, "Envoy serves under a control plane that knows nothing yet")
            before = await _updates(bed)
            await bed.serve(serving("foo", foo))
            assert await _updates(bed) == before
            await bed.serve(serving("bar", bar))
            await until(lambda: load.answers.get("bar"), "the change arrives")
        assert load.failures == []

    run(test)


async def _updates(bed: Bed) -> list[str]:
    """Return Envoy's counts of configurations that it has taken over."""
    _, statistics = await http_get(
        bed.envoy.admin_port, "/stats?filter=(config_reload|lds.update_success|cds.update_success)$"
    )
    return sorted(line for line in statistics.splitlines() if ": " in line and "date" not in line)


def test_a_restarted_envoy_recovers(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served) as bed:
            bed.envoy.kill()
            await until(lambda: bed.state.connected == 0, "its stream has ended")
            assert bed.state == ir.ProxyState()
            bed.envoy.start()
            await bed.envoy.ready()
            async with channel(port) as over:
                assert await call(over) == "foo"

    run(test)


def test_a_proxy_that_is_gone_serves_no_longer_but_one_never_known_is_left_alone(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served) as bed:
            bed.server.update({})
            await until(lambda: _is_closed(port), "the listener is gone")
            assert bed.state.connected == 1

    run(test)


def test_two_envoys_of_one_proxy_get_the_same_and_leave_one_by_one(tmp_path):
    async def test():
        from envoy_bed import Envoy

        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served) as bed:
            (tmp_path / "second").mkdir()
            second = Envoy(tmp_path / "second", bed.socket)
            second.start()  # Both bind one port: Envoy sets SO_REUSEPORT.
            try:
                await second.ready()
                await until(lambda: bed.state.connected == 2 and bed.state.settled, "both are settled")
            finally:
                second.kill()
            await until(lambda: bed.state.connected == 1, "one has left")
            assert bed.state.settled

    run(test)


def test_streams_live_on_when_routes_change(tmp_path):
    async def test():
        foo, bar, port = await Backend("foo").start(), await Backend("bar").start(), free_port()
        services = [cluster("foo", foo), cluster("bar", bar)]

        def to(name):
            return proxy([http_listener(port)], [host((method("Stream"), forward(name)))], services)

        async with running(tmp_path, to("foo")) as bed, channel(port) as over:
            stream = over.unary_stream("/com.example.User/Stream")(b"")
            assert await stream.read() == b"foo"
            await bed.serve(to("bar"))
            async with channel(port) as fresh:
                other = fresh.unary_stream("/com.example.User/Stream")(b"")
                assert await other.read() == b"bar"
                other.cancel()
            assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
            stream.cancel()

    run(test)


def test_a_changed_listener_loses_no_call_and_lets_streams_run_on_for_a_while(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()

        def behind(table):
            tables = tuple(
                ir.RouteTable(name, (host((any_grpc(), forward("foo"))),)) for name in ("one", "two") if name == table
            )
            base = proxy([http_listener(port, table)], [], [cluster("foo", foo)])
            return ir.Proxy(KEY, base.workload, base.listeners, tables, base.clusters, base.endpoints)

        async with running(tmp_path, behind("one")) as bed, Load(port) as load, channel(port) as over:
            stream = over.unary_stream("/com.example.User/Stream")(b"")
            assert await stream.read() == b"foo"
            for table in ("two", "one", "two"):
                await bed.serve(behind(table))
                seen = load.count
                await until(lambda seen=seen: load.count > seen + 20, "calls go on")
            assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
            stream.cancel()
        assert load.failures == []

    run(test)


def test_a_large_message_passes_both_ways(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served), channel(port) as over:
            chat = over.stream_stream("/com.example.User/Chat")()
            message = bytes(3 << 20)
            await chat.write(message)
            assert await chat.read() == message
            await chat.done_writing()

    run(test)

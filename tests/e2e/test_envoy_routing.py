"""Routes in a real Envoy: what reaches which backend, and what the gateway answers by itself."""

import asyncio
import json
from collections import Counter

import grpc
import pytest
from envoy_bed import (
    Backend,
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

pytestmark = pytest.mark.e2e


def test_only_the_named_method_reaches_the_backend_and_others_are_unimplemented_with_a_message(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        unimplemented = ir.DirectResponse(404, "GRPCRoute user-platform/foo-route has no rule for this method; 100 %")
        served = proxy(
            [http_listener(port)],
            [host((method("Login"), forward("foo")), (any_grpc(), unimplemented), domains=("foo.example.com",))],
            [cluster("foo", foo)],
        )
        async with running(tmp_path, served), channel(port) as here, channel(port, "other.example.com") as elsewhere:
            assert await call(here, "Login") == "foo"
            refused = await failure(call(here, "DeleteUser"))
            assert (refused.code(), refused.details()) == (grpc.StatusCode.UNIMPLEMENTED, unimplemented.message)
            unknown = await failure(call(elsewhere, "Login"))
            assert unknown.code() is grpc.StatusCode.UNIMPLEMENTED
            assert unknown.details() == "no route of this gateway matches the request"

    run(test)


def test_login_is_answered_by_all_replicas_in_turn_over_one_connection(tmp_path):
    async def test():
        replicas = [await Backend(f"foo-{number}").start() for number in range(3)]
        port = free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", *replicas)])
        async with running(tmp_path, served), channel(port) as over:
            answers = [await call(over) for _ in range(9)]
            assert set(Counter(answers).values()) == {3}
            assert answers[:3] == answers[3:6] == answers[6:]

    run(test)


def test_a_header_match_sends_to_the_canary_and_anything_else_to_the_stable_service(tmp_path):
    async def test():
        stable, canary, port = await Backend("stable").start(), await Backend("canary").start(), free_port()
        is_canary = ir.Match(ir.PathMatch("prefix", "/"), headers=(ir.ValueMatch("env", "exact", "canary"),), grpc=True)
        served = proxy(
            [http_listener(port)],
            [host((is_canary, forward("canary")), (any_grpc(), forward("stable")))],
            [cluster("stable", stable), cluster("canary", canary)],
        )
        async with running(tmp_path, served), channel(port) as over:
            assert await call(over, metadata=(("env", "canary"),)) == "canary"
            assert await call(over, metadata=(("env", "Canary"),)) == "stable"
            assert await call(over, metadata=(("env", "canary2"),)) == "stable"
            assert await call(over) == "stable"

    run(test)


def test_weights_divide_the_requests(tmp_path):
    async def test():
        old, new, port = await Backend("old").start(), await Backend("new").start(), free_port()
        split = ir.Forward((ir.Destination("old/h2", 70), ir.Destination("new/h2", 30)))
        served = proxy([http_listener(port)], [host((any_grpc(), split))], [cluster("old", old), cluster("new", new)])
        async with running(tmp_path, served), channel(port) as over:
            answers = Counter(await asyncio.gather(*(call(over) for _ in range(1000))))
            assert answers["old"] + answers["new"] == 1000
            assert 630 <= answers["old"] <= 770  # Five standard deviations and more from 700 on either side.

    run(test)


def test_headers_are_set_added_removed_and_a_percent_sign_stays_one(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        edits = ir.HeaderEdits(set=(("x-set", "50% %REQ(x)%"),), add=(("x-add", "new"),), remove=("x-gone",))
        reply = ir.HeaderEdits(set=(("x-served-by", "roadstead"),))
        action = forward("foo", request_headers=edits, response_headers=reply)
        served = proxy([http_listener(port)], [host((any_grpc(), action))], [cluster("foo", foo)])
        async with running(tmp_path, served), channel(port) as over:
            pending = over.unary_unary(f"/{'a.B'}/C")(
                b"", timeout=10, metadata=(("x-set", "old"), ("x-add", "old"), ("x-gone", "1"))
            )
            await pending
            assert ("x-served-by", "roadstead") in list(await pending.initial_metadata())
            assert foo.metadata["x-set"] == "50% %REQ(x)%"
            assert "x-gone" not in foo.metadata
            assert foo.metadata["x-add"] == "new"  # The last of two; `dict` keeps no more.

    run(test)


def test_no_endpoints_and_a_cluster_that_is_not_there_are_unavailable_with_a_message(tmp_path):
    async def test():
        port = free_port()
        served = proxy(
            [http_listener(port)],
            [host((method("Empty"), forward("empty")), (method("Gone"), forward("gone")))],
            [cluster("empty")],
        )
        async with running(tmp_path, served), channel(port) as over:
            for name in ("Empty", "Gone"):
                error = await failure(call(over, name))
                assert error.code() is grpc.StatusCode.UNAVAILABLE, name
                assert error.details(), name

    run(test)


def test_the_clients_deadline_is_honoured_and_nothing_else_limits_a_call(tmp_path):
    async def test():
        slow, port = await Backend("slow").start(), free_port()
        capped = forward("slow", timeouts=ir.Timeouts(maximum_grpc=0.3))
        served = proxy(
            [http_listener(port)],
            [host((method("Sleep", ir.ValueMatch("cap", "exact", "yes")), capped), (any_grpc(), forward("slow")))],
            [cluster("slow", slow)],
        )
        async with running(tmp_path, served), channel(port) as over:
            error = await failure(call(over, "Sleep", b"5", timeout=0.3))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            error = await failure(call(over, "Sleep", b"5", timeout=4, metadata=(("cap", "yes"),)))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # Said by Envoy or the backend: both know the cap.
            assert await call(over, "Sleep", b"1.0", timeout=None) == "slow"

    run(test)


def test_plain_http_gets_a_redirect_and_the_host_may_carry_a_port(tmp_path):
    async def test():
        port = free_port()
        everything = ir.Match(ir.PathMatch("prefix", "/"))
        redirect = ir.Redirect(308, scheme="https")
        served = proxy([http_listener(port)], [host((everything, redirect), domains=("greeter.example.com",))])
        async with running(tmp_path, served):
            for name in ("greeter.example.com", "GREETER.example.com:80"):
                status, answer = await http_get(port, "/hello?a=1", name)
                assert status == 308
                assert "location: https://greeter.example.com/hello?a=1" in answer.lower()
            status, answer = await http_get(port, "/", "nobody.example.com")
            assert status == 404

    run(test)


def test_a_mirror_receives_a_copy_and_its_answer_is_ignored(tmp_path):
    async def test():
        foo, copy, port = await Backend("foo").start(), await Backend("copy").start(), free_port()
        mirrored = forward("foo", mirrors=(ir.Mirror("copy/h2"),))
        services = [cluster("foo", foo), cluster("copy", copy)]
        async with running(tmp_path, proxy([http_listener(port)], [host((any_grpc(), mirrored))], services)):
            async with channel(port) as over:
                assert [await call(over) for _ in range(5)] == ["foo"] * 5
            await until(lambda: copy.calls == 5, "all copies")

    run(test)


def test_a_session_stays_with_one_endpoint(tmp_path):
    async def test():
        replicas = [await Backend(f"foo-{number}").start() for number in range(3)]
        port = free_port()
        sticky = forward("foo", session=ir.SessionPersistence("header", "x-pod"))
        served = proxy(
            [http_listener(port)],
            [host((method("Login"), sticky), (any_grpc(), forward("foo")))],
            [cluster("foo", *replicas)],
        )
        async with running(tmp_path, served), channel(port) as over:
            first = over.unary_unary("/com.example.User/Login")(b"", timeout=10)
            answer = (await first).decode()
            pod = dict(await first.initial_metadata())["x-pod"]
            assert [await call(over, metadata=(("x-pod", pod),)) for _ in range(6)] == [answer] * 6
            assert {await call(over, "Other", metadata=(("x-pod", pod),)) for _ in range(6)} == {
                "foo-0", "foo-1", "foo-2",
            }  # fmt: skip

    run(test)


def test_the_access_log_names_route_upstream_and_grpc_status(tmp_path):
    async def test():
        foo, port = await Backend("foo").start(), free_port()
        served = proxy([http_listener(port)], [host((any_grpc(), forward("foo")))], [cluster("foo", foo)])
        async with running(tmp_path, served) as bed, channel(port) as over:
            await call(over)
            line = await until(bed.envoy.access_log, "a line in the access log")
            entry = json.loads(line)
            assert entry["route"] == "route-0"
            assert entry["grpc_status"] == "OK"
            assert entry["upstream"] == f"127.0.0.1:{foo.port}"
            assert entry["path"] == "/com.example.User/Login"

    run(test)

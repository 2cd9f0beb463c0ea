"""What an Envoy tells of requests: numbers by route with the gRPC status, spans that join a client's trace."""

import json
import re
from pathlib import Path
from typing import Any

import gateway_objects as made
import grpc
import pytest
from envoy_bed import HERE, SERVICE, Backend, call, channel, failure, http_get, run, running, until
from free_ports import free_port
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from roadstead.gateway import ir

pytestmark = pytest.mark.e2e

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector(grpc.GenericRpcHandler):
    """Receives spans by OTLP."""

    def __init__(self) -> None:
        self.services: set[str] = set()
        self.spans: list[Any] = []
        self.port = 0
        self._server = grpc.aio.server()

    async def start(self) -> "Collector":
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"{HERE}:0")
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != EXPORT:
            return None
        messages = trace_service_pb2
        return grpc.unary_unary_rpc_method_handler(
            self._export,
            messages.ExportTraceServiceRequest.FromString,
            messages.ExportTraceServiceResponse.SerializeToString,
        )

    async def _export(self, request: Any, _context: grpc.aio.ServicerContext) -> Any:
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(named["service.name"])
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def served(port: int, backend: Backend, *objects: Any, **annotations: str) -> ir.Proxy:
    gateway = made.gateway(made.http_listener(port=port))
    stated = {f"roadstead.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    gateway["metadata"]["annotations"] = stated
    route = made.grpc_route("users", made.rule(made.backend("users"), matches=[made.method(SERVICE)]))
    backing = [made.service("users"), made.endpoint_slice("users", HERE, port=backend.port)]
    return made.translated(made.gateway_class(), gateway, route, *backing, *objects).proxies[made.PROXY]


def traceparent(flags: str) -> list[tuple[str, str]]:
    return [("traceparent", f"00-{TRACE}-{PARENT}-{flags}"), ("tracestate", "vendor=1")]


def test_numbers_by_route_know_how_calls_of_grpc_ended(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend = free_port(), await Backend("users").start()
        async with running(tmp_path, served(port, backend, route_metrics="true")) as bed, channel(port) as over:
            for _ in range(3):
                await call(over)
            assert (await failure(call(over, service="other.Service"))).code() is grpc.StatusCode.UNIMPLEMENTED
            _, text = await http_get(bed.envoy.ready_port, "/stats/prometheus")
        counted = dict(re.findall(r"^envoy_roadstead_route_requests\{(.*)\} (\d+)$", text, re.MULTILINE))
        name, backing = "grpcroute/user-platform/users/rule/0/match/0", "user-platform/users/50051/h2"
        assert counted == {
            f'route="{name}",backend="{backing}",status="200",grpc_status="OK"': "3",
            'route="unmatched",backend="",status="200",grpc_status="UNIMPLEMENTED"': "1",
        }
        assert f'envoy_roadstead_route_response_bytes{{route="{name}",backend="{backing}"}} 30' in text
        statuses = f'envoy_cluster_upstream_rq{{envoy_response_code="200",envoy_cluster_name="{backing}"}} 3'
        assert statuses in text

    run(test)


def test_a_line_of_the_log_is_what_one_request_was(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend = free_port(), await Backend("users").start()
        async with running(tmp_path, served(port, backend, request_ids="false")) as bed, channel(port) as over:
            await call(over, metadata=[("x-request-id", 'of "the client"')])
            assert backend.metadata["x-request-id"] == 'of "the client"'
            await call(over)
            assert "x-request-id" not in backend.metadata
            await failure(call(over, service="other.Service"))
            await until(lambda: bed.envoy.access_log().count("\n") == 3, "three lines are logged")
            lines = [json.loads(line) for line in bed.envoy.access_log().splitlines()]
        assert [line["request_id"] for line in lines] == ['of "the client"', None, None]
        assert [line["grpc_status"] for line in lines] == ["OK", "OK", "UNIMPLEMENTED"]
        assert [line["upstream"] for line in lines] == [f"{HERE}:{backend.port}"] * 2 + [None]
        assert {"sni", "trace_id"}.isdisjoint(lines[0])

    run(test)


def test_requests_have_ids(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend = free_port(), await Backend("users").start()
        async with running(tmp_path, served(port, backend)) as bed, channel(port) as over:
            await call(over, metadata=[("x-request-id", "of the client")])
            given = backend.metadata["x-request-id"]
            assert given != "of the client"
            await until(lambda: f'"request_id":"{given}"' in bed.envoy.access_log(), "it is logged")

    run(test)


def test_spans_join_the_trace_of_the_client_and_go_to_the_collector(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend, collector = free_port(), await Backend("users").start(), await Collector().start()
        objects = made.service("otel", 4317), made.endpoint_slice("otel", HERE, port=collector.port)
        try:
            async with running(tmp_path, served(port, backend, *objects, tracing="otel:4317")), channel(port) as over:
                for _ in range(6):  # Envoy sends five spans at once, or those of five seconds.
                    await call(over, metadata=traceparent("01"))
                _, trace, parent, flags = backend.metadata["traceparent"].split("-")
                assert (trace, flags, backend.metadata["tracestate"]) == (TRACE, "01", "vendor=1")
                assert parent != PARENT
                await until(lambda: len(collector.spans) >= 5, "five spans have come")
        finally:
            await collector.stop()
        assert collector.services == {"user-platform/example-gateway"}
        for span in collector.spans:
            told = {one.key: one.value.string_value for one in span.attributes}
            assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
            assert span.name == f"/{SERVICE}/Login"
            assert told["roadstead.route"] == "grpcroute/user-platform/users/rule/0/match/0"
            assert (told["upstream_cluster"], told["grpc.status_code"]) == ("user-platform/users/50051/h2", "0")

    run(test)


def test_without_spans_of_ours_the_trace_context_passes_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend = free_port(), await Backend("users").start()
        async with running(tmp_path, served(port, backend)), channel(port) as over:
            await call(over, metadata=traceparent("01"))
            passed = [(name, backend.metadata[name]) for name in ("traceparent", "tracestate")]
            assert passed == traceparent("01")

    run(test)


def test_a_client_that_wants_no_spans_gets_none_and_shares_are_kept(tmp_path: Path) -> None:
    async def test() -> None:
        port, backend = free_port(), await Backend("users").start()
        objects = made.service("otel", 4317), made.endpoint_slice("otel", HERE, port=free_port())
        proxy = served(port, backend, *objects, tracing="otel:4317", tracing_sampling="0%")
        async with running(tmp_path, proxy), channel(port) as over:  # nobody listens there: requests are served
            await call(over, metadata=traceparent("00"))
            assert backend.metadata["traceparent"].startswith(f"00-{TRACE}-")
            assert backend.metadata["traceparent"].endswith("-00")
            await call(over)
            assert backend.metadata["traceparent"].endswith("-00")

    run(test)

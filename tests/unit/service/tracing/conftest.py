"""A traced echo service, and the spans of both sides."""

import grpc
import pytest
from echo_service import async_handlers
from opentelemetry import trace
from spans import Spans

from roadstead.service import Server
from roadstead.service.interceptors import Errors
from roadstead.service.interceptors.tracing import Tracing


@pytest.fixture
def spans(monkeypatch) -> Spans:
    """Spans of everything that uses the program's tracer provider; that can be set only once per process."""
    spans = Spans()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)
    return spans


@pytest.fixture
def traced_server(loop_thread, spans):
    """Start servers with tracing and these stages; gives their targets."""
    servers = []

    def start(*stages, **handlers) -> str:
        server = Server(port=0, address="127.0.0.1", stages=[Tracing(), Errors(), *stages])
        echo = {**async_handlers(), **handlers}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", echo),))
        loop_thread.run(server.start())
        servers.append(server)
        return f"127.0.0.1:{server.port}"

    yield start
    for server in servers:
        loop_thread.run(server.stop())

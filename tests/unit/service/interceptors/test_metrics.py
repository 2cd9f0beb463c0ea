import importlib
import sys
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from roadstead.service import standard_stages
from roadstead.service.interceptors import Stage
from roadstead.service.interceptors.metrics import Metrics, serve_metrics
from roadstead.service.refusal import unauthenticated

TYPES = {
    "unary_unary": "unary",
    "unary_stream": "server_stream",
    "stream_unary": "client_stream",
    "stream_stream": "bidi_stream",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


class Refusing(Stage):
    def admit(self, call):
        return unauthenticated("no") if dict(call.metadata).get("refuse") else None


def test_every_call_counts_whatever_becomes_of_it(serving, server_sort, kind, recorder, registry):
    with serving(server_sort, Metrics(registry), recorder, Refusing()) as client:
        client.call(kind, b"hello")
        client.call(kind, b"hello")
        client.call(kind, b"abort")
        client.call(kind, b"hello", metadata=(("refuse", "yes"),))
        recorder.wait(4)

    labels = {"grpc_type": TYPES[kind], "grpc_service": "test.Echo", "grpc_method": kind}

    def value(name: str, **more: str) -> float | None:
        return registry.get_sample_value(name, {**labels, **more})

    assert value("grpc_server_started_total") == 4
    assert value("grpc_server_handled_total", grpc_code="OK") == 2
    assert value("grpc_server_handled_total", grpc_code="FailedPrecondition") == 1
    assert value("grpc_server_handled_total", grpc_code="Unauthenticated") == 1
    assert value("grpc_server_handling_seconds_count") == 4
    assert value("grpc_server_handling_seconds_sum") > 0


def test_methods_that_are_not_here_share_one_label(serving, server_sort, recorder, registry):
    with serving(server_sort, Metrics(registry), recorder) as client:
        for number in range(5):
            assert client.call("unary_unary", b"x", method=f"Nothing{number}").code == "UNIMPLEMENTED"
        recorder.wait(5)
    labels = {"grpc_type": "unary", "grpc_service": "unknown", "grpc_method": "unknown"}
    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": "Unimplemented"}) == 5
    assert registry.get_sample_value("grpc_server_started_total", labels) == 5


def test_two_servers_of_a_process_share_a_registry(registry):
    assert Metrics(registry)._families is Metrics(registry)._families


def test_prometheus_gets_them(registry):
    Metrics(registry)
    port = serve_metrics(0, registry=registry, variables={"POD_IP": "127.0.0.1"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"grpc_server_handling_seconds" in answer.read()


def test_standard_stages_count_first():
    assert isinstance(standard_stages(metrics=True)[0], Metrics)
    assert not any(isinstance(stage, Metrics) for stage in standard_stages())


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "roadstead.service.interceptors.metrics")
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[metrics\]"):
        importlib.import_module("roadstead.service.interceptors.metrics")

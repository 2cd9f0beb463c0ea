import pytest
from gateway_objects import (
    PROXY,
    gateway,
    gateway_class,
    grant,
    message,
    service,
    status_of,
    translated,
    verdict,
)

from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.statuses import ANNOTATIONS_USABLE
from roadstead.gateway.translate import Translation

COLLECTOR = "user-platform/otel/4317/h2"


def translation(*objects: Object, **annotations: str) -> Translation:
    made = gateway()
    stated = {f"roadstead.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return translated(gateway_class(), {**made, "metadata": {**made["metadata"], "annotations": stated}}, *objects)


def test_without_annotations_nothing_is_told() -> None:
    assert translation().proxies[PROXY].telemetry == ir.Telemetry()


def test_numbers_by_route() -> None:
    assert translation(route_metrics="true").proxies[PROXY].telemetry == ir.Telemetry(route_metrics=True)


def test_no_request_ids() -> None:
    assert translation(request_ids="false").proxies[PROXY].telemetry == ir.Telemetry(request_ids=False)


@pytest.mark.parametrize("address", ["otel:4317", "user-platform/otel:4317"])
def test_the_collector_is_a_cluster_of_the_proxy(address: str) -> None:
    stated = {"tracing": address, "tracing_sampling": "0.5%", "route_metrics": "true"}
    proxy = translation(service("otel", 4317), **stated).proxies[PROXY]
    assert proxy.telemetry.route_metrics
    assert proxy.telemetry.tracing == ir.Tracing(COLLECTOR, "user-platform/example-gateway", 5_000)
    assert [(cluster.name, cluster.protocol) for cluster in proxy.clusters] == [(COLLECTOR, "h2")]
    assert [one.name for one in proxy.endpoints] == ["user-platform/otel/4317"]


@pytest.mark.parametrize(
    ("annotations", "reason", "said"),
    [
        ({"tracing": "otel:1"}, "BackendNotFound", "[roadstead.dev/tracing]: Service user-platform/otel has no"),
        ({"tracing": "gone:1"}, "BackendNotFound", "Service user-platform/gone does not exist"),
        ({"tracing": "tools/otel:4317"}, "RefNotPermitted", "no ReferenceGrant in tools allows Gateways of namespace"),
        ({"tracing": "otel"}, "InvalidAnnotation", "'otel' is not a Service and its port"),
        ({"tracing_sampling": "200%"}, "InvalidAnnotation", "'200%' is not a share like 100%"),
    ],
)  # fmt: skip
def test_a_collector_that_cannot_be_had_is_said(annotations: dict[str, str], reason: str, said: str) -> None:
    elsewhere = service("otel", 4317, namespace="tools")
    found = translation(service("otel", 4317), elsewhere, route_metrics="true", **annotations)
    assert found.proxies[PROXY].telemetry == ir.Telemetry(route_metrics=True)
    conditions = status_of(found, "Gateway", "example-gateway")["conditions"]
    assert verdict(conditions, ANNOTATIONS_USABLE) == ("False", reason)
    assert said in message(conditions, ANNOTATIONS_USABLE)


def test_a_collector_of_another_namespace_that_grants_it() -> None:
    allowed = grant("tools", [("gateway.networking.k8s.io", "Gateway", "user-platform")], [("", "Service", "otel")])
    found = translation(service("otel", 4317, namespace="tools"), allowed, tracing="tools/otel:4317")
    tracing = found.proxies[PROXY].telemetry.tracing
    assert tracing is not None
    assert tracing.cluster == "tools/otel/4317/h2"

"""What the annotations of a Gateway say of numbers by route and of traces, and the collector that traces go to."""

from typing import NamedTuple

import msgspec

from roadstead.api.objects import Object, key_of
from roadstead.gateway.ir import Cluster, Telemetry, Tracing
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.annotations import PREFIX, read_annotations
from roadstead.gateway.translate.backends import read_reference, resolve
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.references import Referrer

_MILLION = 1_000_000


class TelemetryPlan(NamedTuple):
    """What a proxy tells, the clusters that it needs for that, and why it cannot tell all that is wanted."""

    telemetry: Telemetry = Telemetry()
    clusters: tuple[Cluster, ...] = ()
    problem: Problem | None = None


def plan_telemetry(gateway: Object, resources: Resources) -> TelemetryPlan:
    """Return what a Gateway's annotations ask for."""
    stated = read_annotations(gateway).values
    told = Telemetry(stated.get("route-metrics", False), request_ids=stated.get("request-ids", True))
    address = stated.get("tracing")
    if address is None:
        return TelemetryPlan(told)
    key = key_of(gateway)
    reference = read_reference(
        dict(zip(("namespace", "name", "port"), address, strict=True)),
        f"metadata.annotations[{PREFIX}tracing]",
        Referrer("Gateway", key.namespace),
    )
    found = resolve(reference, resources)
    if isinstance(found, Problem):
        return TelemetryPlan(told, (), found)
    tracing = Tracing(found.name, str(key), stated.get("tracing-sampling", _MILLION))
    return TelemetryPlan(msgspec.structs.replace(told, tracing=tracing), (found,))

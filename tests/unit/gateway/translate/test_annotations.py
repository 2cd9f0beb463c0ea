import re
from pathlib import Path
from typing import Any

import pytest
from gateway_objects import (
    backend,
    gateway,
    gateway_class,
    grpc_route,
    http_route,
    message,
    rule,
    service,
    status_of,
    translated,
    verdict,
    virtual_host,
)

from roadstead.api.conditions import find_condition
from roadstead.api.objects import Object
from roadstead.gateway import ir
from roadstead.gateway.statuses import ANNOTATIONS_USABLE
from roadstead.gateway.translate.annotations import ANNOTATIONS, PREFIX

FOO = service("foo-svc")
DOCS = Path(__file__).parents[4] / "docs" / "gateway.md"


def annotated(**annotations: str) -> dict[str, Any]:
    return {"annotations": {PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}}


def conditions(kind: str, route: Object) -> list[Object]:
    translation = translated(gateway_class(), gateway(), FOO, route)
    found: list[Object] = status_of(translation, kind, "foo")["parents"][0]["conditions"]
    return found


def forward(route: Object) -> ir.Forward:
    host = virtual_host(translated(gateway_class(), gateway(), FOO, route), "*")
    action = host.routes[0].action
    assert isinstance(action, ir.Forward)
    return action


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, ir.Timeouts()),
        ({"timeout": "10s"}, ir.Timeouts(request=10)),
        ({"maximum_timeout": "1m30s"}, ir.Timeouts(request=90, maximum_grpc=90)),
        ({"maximum_timeout": "30s", "timeout": "0s"}, ir.Timeouts(maximum_grpc=30)),
        ({"idle_timeout": "500ms"}, ir.Timeouts(idle=0.5)),
    ],
)
def test_time_limits_of_calls(annotations: dict[str, str], expected: ir.Timeouts) -> None:
    route = grpc_route("foo", rule(backend("foo-svc")), **annotated(**annotations))
    assert forward(route).timeouts == expected
    assert find_condition(conditions("GRPCRoute", route), ANNOTATIONS_USABLE) is None


def test_an_http_route_has_a_limit_for_silence_beside_its_own() -> None:
    route = http_route("foo", rule(backend("foo-svc"), timeouts={"request": "3s"}), **annotated(idle_timeout="1h"))
    assert forward(route).timeouts == ir.Timeouts(request=3, idle=3600)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (
            {"timeout": "10 seconds"},
            "metadata.annotations[roadstead.dev/timeout]: '10 seconds' is not a duration like 30s or 1h30m; "
            "0s means no limit",
        ),
        (
            {"time_out": "10s"},
            "metadata.annotations[roadstead.dev/time-out]: GRPCRoutes have no such annotation of Roadstead; "
            "did you mean roadstead.dev/timeout?",
        ),
    ],
)
def test_what_cannot_be_heeded_is_said_and_the_rest_is_served(annotations: dict[str, str], said: str) -> None:
    route = grpc_route("foo", rule(backend("foo-svc")), **annotated(**annotations, idle_timeout="1s"))
    found = conditions("GRPCRoute", route)
    assert verdict(found, "Accepted") == ("True", "Accepted")
    assert verdict(found, ANNOTATIONS_USABLE) == ("False", "InvalidAnnotation")
    assert message(found, ANNOTATIONS_USABLE) == said
    assert forward(route).timeouts.idle == 1


def test_an_annotation_of_another_kind_is_told_with_those_that_there_are() -> None:
    route = http_route("foo", rule(backend("foo-svc")), **annotated(qqqqq="1"))
    said = message(conditions("HTTPRoute", route), ANNOTATIONS_USABLE)
    assert "HTTPRoutes have no such annotation of Roadstead; there are roadstead.dev/environment, " in said


def test_a_gateways_annotations_are_judged_too() -> None:
    metadata = {**gateway(), "metadata": {**gateway()["metadata"], **annotated(timeout="1s")}}
    found = status_of(translated(gateway_class(), metadata), "Gateway", "example-gateway")["conditions"]
    assert verdict(found, ANNOTATIONS_USABLE) == ("False", "InvalidAnnotation")
    assert "Gateways have no such annotation" in message(found, ANNOTATIONS_USABLE)


def test_annotations_of_others_are_theirs() -> None:
    route = grpc_route("foo", rule(backend("foo-svc")), annotations={"example.com/timeout": "soon"})
    assert find_condition(conditions("GRPCRoute", route), ANNOTATIONS_USABLE) is None


def test_the_documentation_has_every_annotation_and_no_other() -> None:
    section = DOCS.read_text().partition("## Annotations\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert documented == [one.name for one in ANNOTATIONS]

"""The scale of an object, by the usual paths or those of a CRD."""

from typing import Any

import pytest

from roadstead.api.resources import resource
from roadstead.apiserver.scale import scale_of, with_replicas
from roadstead.apiserver.schemas import CustomResource

DEPLOYMENT = resource("Deployment")


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a"),
        ({"app": "plain"}, "app=plain"),
    ],
)
def test_the_selector_is_written_as_text(selector: dict[str, Any], text: str) -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"selector": selector}}
    assert scale_of(DEPLOYMENT, obj)["status"] == {"replicas": 0, "selector": text}


def test_a_custom_resource_says_where_its_numbers_are() -> None:
    paths = {
        "specReplicasPath": ".spec.size.wanted",
        "statusReplicasPath": ".status.now",
        "labelSelectorPath": ".status.s",
    }
    kind = CustomResource("example.com", "v1", "widgets", "Widget", scale=paths)
    obj: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {}, "status": {"now": 2, "s": "x=y"}}
    assert scale_of(kind, obj)["status"] == {"replicas": 2, "selector": "x=y"}
    changed = with_replicas(kind, obj, {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 4}})
    assert changed["spec"] == {"size": {"wanted": 4}}
    assert changed["metadata"]["resourceVersion"] == "7"

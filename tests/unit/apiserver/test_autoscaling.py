"""One autoscaler, two versions: what the one says the other says too, and nothing is lost on the way and back."""

import asyncio
import json
from typing import Any

from apiserver_bed import Bench, bench

from roadstead.apiserver.autoscaling import to_v1, to_v2

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def hpa(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, **spec}}


def cpu(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


EVERY_SOURCE = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "a",
            "target": {"type": "Utilization", "averageUtilization": 5},
        },
    },
    {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "name": "s"},
            "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "Value", "value": "7"},
        },
    },
    {
        "type": "External",
        "external": {"metric": {"name": "e"}, "target": {"type": "AverageValue", "averageValue": "9"}},
    },
]


def test_metrics_of_all_sources_survive_the_way_to_v1_and_back() -> None:
    new = hpa(metrics=[*EVERY_SOURCE, cpu(70)], behavior={"scaleDown": {"stabilizationWindowSeconds": 5}})
    new["status"] = {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "conditions": [{"type": "AbleToScale", "status": "True"}],
        "currentMetrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "1"}},
            }
        ],
    }
    old = to_v1(new)
    assert old["spec"] == {"scaleTargetRef": TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70}
    assert old["status"] == {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "currentCPUUtilizationPercentage": 50,
    }
    kept = json.loads(old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"])
    assert kept[0] == {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    assert to_v2(old) == new


def test_an_autoscaler_of_v1_that_names_no_share_of_the_cpu_gets_the_usual_one() -> None:
    assert to_v2(hpa())["spec"]["metrics"] == [cpu(80)]
    assert to_v2(hpa(targetCPUUtilizationPercentage=60))["spec"]["metrics"] == [cpu(60)]


def test_annotations_that_no_conversion_wrote_are_dropped_and_do_no_harm() -> None:
    old = hpa(targetCPUUtilizationPercentage=60)
    for text in ("nonsense", "5", "[1]", '[{"type":"Pods","pods":5}]'):
        old["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/metrics": text, "mine": "kept"}
        new = to_v2(old)
        assert new["metadata"]["annotations"] == {"mine": "kept"}
        assert new["spec"]["metrics"][-1] == cpu(60)


def test_both_versions_show_the_same_stored_object() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(V1, hpa(targetCPUUtilizationPercentage=60))
        assert made["apiVersion"] == "autoscaling/v1"
        assert made["spec"]["minReplicas"] == 1
        assert "metrics" not in made["spec"]
        assert made["status"] == {"currentReplicas": 0, "desiredReplicas": 0}
        new = await server.get(f"{V2}/web")
        assert new["metadata"]["uid"] == made["metadata"]["uid"]
        assert new["spec"]["metrics"] == [cpu(60)]
        owned = new["metadata"]["managedFields"][0]
        assert (owned["apiVersion"], "f:metrics" in owned["fieldsV1"]["f:spec"]) == ("autoscaling/v2", True)
        changed = (await server.patch(f"{V1}/web", {"spec": {"targetCPUUtilizationPercentage": 75}})).json()
        assert changed["spec"]["targetCPUUtilizationPercentage"] == 75
        assert (await server.get(f"{V2}/web"))["spec"]["metrics"] == [cpu(75)]
        listed = await server.get(V1)
        assert (listed["apiVersion"], listed["items"][0]["apiVersion"]) == ("autoscaling/v1", "autoscaling/v1")
        table = await server.get(f"{V1}/web", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert table["rows"][0]["cells"][:3] == ["web", "Deployment/web", "cpu: <unknown>/75%"]
        refused = await server.refused(400, "POST", f"{V1}?fieldValidation=Strict", hpa(metrics=[cpu(5)]))
        assert 'unknown field "spec.metrics"' in refused["message"]

    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())

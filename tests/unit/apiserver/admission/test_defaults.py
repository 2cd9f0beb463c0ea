"""Defaults: `testdata/NAME.in.yaml` holds objects as users write them, `NAME.out.yaml` as they are stored."""

from pathlib import Path
from typing import Any

import goldens
import pytest
import yaml

from roadstead.api.objects import clone
from roadstead.api.resources import resource
from roadstead.apiserver.admission.defaults import apply_defaults, write_zeros

CASES = sorted((Path(__file__).parent / "testdata").glob("*.in.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_golden(path):
    objects = [obj for obj in yaml.load_all(path.read_text(), yaml.CSafeLoader) if obj]
    for obj in objects:
        kind = resource(obj["kind"], obj["apiVersion"])
        apply_defaults(kind, obj)
        again = clone(obj)
        apply_defaults(kind, again)
        assert again == obj, "defaults are stable"
        write_zeros(kind, obj)
    goldens.check(path.with_name(path.name.replace(".in.", ".out.")), objects)


def test_what_is_of_a_wrong_type_is_left_alone():
    broken = {"metadata": {"name": "a"}, "spec": {"replicas": "two", "template": []}}
    before = clone(broken)
    apply_defaults(resource("Deployment"), broken)
    assert broken == before


def test_requests_default_to_limits_in_pods_but_not_in_templates():
    def container():
        return {"name": "a", "image": "a:1", "resources": {"limits": {"cpu": "1"}}}

    pod = {"spec": {"containers": [container()]}}
    apply_defaults(resource("Pod"), pod)
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    deployment = {"spec": {"template": {"spec": {"containers": [container()]}}}}
    apply_defaults(resource("Deployment"), deployment)
    assert "requests" not in deployment["spec"]["template"]["spec"]["containers"][0]["resources"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("Deployment", {}), ("ReplicaSet", {"replicas": 0}), ("Service", {"loadBalancer": {}}), ("ConfigMap", None)],
)
def test_a_status_that_nobody_wrote_is_there(kind: str, status: Any) -> None:
    obj: dict[str, Any] = {"apiVersion": resource(kind).api_version, "kind": kind, "metadata": {"name": "x"}}
    write_zeros(resource(kind), obj)
    assert obj.get("status") == status


def test_a_status_that_was_written_is_kept_and_not_shared() -> None:
    written = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "status": {"conditions": [{}]}}
    first, second = clone(written), clone(written)
    write_zeros(resource("Service"), first)
    write_zeros(resource("Service"), second)
    first["status"]["loadBalancer"]["ingress"] = []
    assert second["status"]["loadBalancer"] == {}


def test_parts_of_the_stored_object_are_not_looked_at_again() -> None:
    stored = {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}]}, "status": {"loadBalancer": {}}}
    changed = {"metadata": {"name": "x"}, "spec": stored["spec"], "status": {}}
    write_zeros(resource("Service"), changed, stored)
    assert changed == {**stored, "metadata": {"name": "x"}}
    assert changed["spec"] is stored["spec"]

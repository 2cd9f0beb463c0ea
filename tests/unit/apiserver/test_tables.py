"""What `kubectl get` prints: `testdata/tables/NAME.in.yaml` holds objects of one kind, `NAME.out.yaml` their rows."""

from datetime import UTC, datetime
from pathlib import Path

import goldens
import pytest
import yaml

from roadstead.api.resources import BUILT_IN, resource
from roadstead.apiserver.schemas import CustomResource
from roadstead.apiserver.tables import table

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CASES = sorted((Path(__file__).parent / "testdata/tables").glob("*.in.yaml"))


def printed(found):
    """Return rows as objects by column; wide columns end with `*`."""
    columns = [column["name"] + "*" * column["priority"] for column in found["columnDefinitions"]]
    return [dict(zip(columns, row["cells"], strict=True)) for row in found["rows"]]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_golden(path):
    objects = [obj for obj in yaml.load_all(path.read_text(), yaml.CSafeLoader) if obj]
    for obj in objects:
        obj["metadata"].setdefault("creationTimestamp", "2026-11-22T11:54:57Z")
    kind = resource(objects[0]["kind"], objects[0]["apiVersion"])
    goldens.check(path.with_name(path.name.replace(".in.", ".out.")), printed(table(kind, objects, now=NOW)))


@pytest.mark.parametrize("kind", [r for r in BUILT_IN if "list" in r.verbs], ids=lambda r: f"{r.kind}.{r.group}")
def test_every_kind_prints_the_barest_object_with_one_cell_per_column(kind):
    bare = {"metadata": {"name": "bare", "creationTimestamp": "2026-11-22T11:54:57Z"}}
    found = table(kind, [bare, {**bare, "spec": None, "status": None}], now=NOW)
    for row in found["rows"]:
        assert len(row["cells"]) == len(found["columnDefinitions"])
        assert "bare" in row["cells"]


def test_an_odd_object_does_not_hide_the_others():
    odd = {"metadata": {"name": "odd"}, "spec": "text", "status": []}
    good = {"metadata": {"name": "good"}}
    rows = printed(table(resource("Pod"), [odd, good], now=NOW))
    assert [row["Name"] for row in rows] == ["odd", "good"]
    assert rows[0]["Status"] == "<invalid>"


def test_what_a_row_carries_of_its_object():
    pod = {"metadata": {"name": "a", "uid": "u"}, "spec": {"nodeName": "n"}}
    whole, part, none = (
        table(resource("Pod"), [pod], now=NOW, include_object=form)["rows"][0]
        for form in ("Object", "Metadata", "None")
    )
    assert whole["object"] == pod
    assert part["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": pod["metadata"],
    }
    assert "object" not in none


def test_the_lists_own_metadata():
    found = table(resource("Pod"), [], now=NOW, resource_version="7", continue_="token")
    assert found["metadata"] == {"resourceVersion": "7", "continue": "token"}
    assert (found["kind"], found["apiVersion"], found["rows"]) == ("Table", "meta.k8s.io/v1", [])
    assert found["columnDefinitions"][0] == {
        "name": "Name", "type": "string", "format": "name", "description": "Name", "priority": 0,
    }  # fmt: skip


COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def test_columns_of_a_crd_come_with_the_resource_or_by_argument():
    obj = {
        "metadata": {"name": "a", "creationTimestamp": "2026-11-22T11:00:00Z"},
        "spec": {"size": "not a number", "hosts": ["a", "b"]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    expected = [{"Name": "a", "Size": None, "Hosts": '["a","b"]', "Ready*": "True", "Age": "60m"}]
    custom = CustomResource("example.com", "v1", "things", "Thing", columns=tuple(COLUMNS))
    assert printed(table(custom, [obj], now=NOW)) == expected
    assert printed(table(resource("Pod"), [obj], now=NOW, columns_of_crd=COLUMNS)) == expected

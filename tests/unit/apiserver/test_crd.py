"""CustomResourceDefinitions: from a definition to a resource that prunes, defaults and checks its objects."""

import pytest
import yaml

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import clone
from roadstead.api.resources import Scheme, resource
from roadstead.apiserver.admission.defaults import apply_defaults
from roadstead.apiserver.crd import Names, accept, is_established, prune, resources, storage_version
from roadstead.apiserver.patches.apply import server_side_apply
from roadstead.apiserver.validation import unknown_fields, validate

CRD = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: boats, kind: Boat, shortNames: [bt], categories: [fleet]}
  versions:
  - name: v1beta1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.crew, statusReplicasPath: .status.crew}}
    additionalPrinterColumns: [{name: Crew, type: integer, jsonPath: .spec.crew}]
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [name]
            properties:
              name: {type: string, maxLength: 5, pattern: "^[a-z]+$"}
              crew: {type: integer, minimum: 1, maximum: 9, default: 2}
              sail: {type: object, default: {}, properties: {color: {type: string, default: white, enum: [white, red]}}}
              port: {x-kubernetes-int-or-string: true}
              note: {type: string, nullable: true}
              masts:
                type: array
                maxItems: 2
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [id]
                items: {type: object, required: [id], properties: {id: {type: string}, height: {type: number}}}
              cargo: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              pod: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
              since: {type: string, format: date-time}
              closed: {type: object}
          status:
            type: object
            default: {phase: Docked}
            properties: {phase: {type: string}, crew: {type: integer}}
""")
apply_defaults(resource("CustomResourceDefinition"), CRD)
BOAT = resources(CRD)[0]


def boat(**spec):
    metadata = {"name": "a", "namespace": "default"}
    return {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": metadata, "spec": {"name": "abc", **spec}}


def wrong(obj):
    return [f"{field}: {message}" for _, field, message in validate(BOAT, obj, None)]


def test_only_served_versions_become_resources():
    assert [r.version for r in resources(CRD)] == ["v1"]
    assert storage_version(CRD) == "v1"
    assert (BOAT.plural, BOAT.kind, BOAT.namespaced, BOAT.short_names, BOAT.categories) == (
        "boats", "Boat", True, ("bt",), ("fleet",),
    )  # fmt: skip
    assert BOAT.subresources == ("status", "scale")
    assert BOAT.scale == {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"}
    assert Scheme().with_resources(resources(CRD)).by_kind("example.com/v1", "Boat") == BOAT


def test_defaults_go_into_defaults_and_into_the_status():
    obj = boat(crew=None, note=None)
    apply_defaults(BOAT, obj)
    assert obj["spec"] == {"name": "abc", "crew": 2, "note": None, "sail": {"color": "white"}}
    assert obj["status"] == {"phase": "Docked"}
    assert wrong(obj) == []


def test_unknown_fields_are_named_and_pruned():
    obj = boat(
        extra=1,
        sail={"color": "red", "size": 3},
        cargo={"any": {"thing": 1}},
        masts=[{"id": "a", "flag": "x"}],
        labels={"a": "b"},
        pod={"kind": "Pod", "metadata": {"name": "x"}, "spec": {}},
        closed={"a": 1},
    )
    expected = ["spec.extra", "spec.sail.size", "spec.masts[0].flag", "spec.closed.a"]
    assert unknown_fields(BOAT, obj) == expected
    prune(BOAT, obj)
    assert unknown_fields(BOAT, obj) == []
    assert obj["spec"]["cargo"] == {"any": {"thing": 1}}
    assert obj["spec"]["pod"] == {"kind": "Pod", "metadata": {"name": "x"}, "spec": {}}
    assert obj["spec"]["closed"] == {}
    assert obj["metadata"] == {"name": "a", "namespace": "default"}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"name": None}, 'spec.name: Invalid value: "null": spec.name in body must be of type string: "null"'),
        ({"name": "toolong"}, "spec.name: Too long: may not be more than 5 bytes"),
        ({"name": "A"}, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ({"crew": 0}, "spec.crew: Invalid value: 0: spec.crew in body should be greater than or equal to 1"),
        ({"crew": 10}, "spec.crew: Invalid value: 10: spec.crew in body should be less than or equal to 9"),
        ({"crew": "2"}, 'spec.crew: Invalid value: "string": spec.crew in body must be of type integer: "string"'),
        ({"crew": True}, 'spec.crew: Invalid value: "boolean": spec.crew in body must be of type integer: "boolean"'),
        ({"sail": {"color": "blue"}}, 'spec.sail.color: Unsupported value: "blue": supported values: "white", "red"'),
        ({"masts": [{"height": 1}]}, "spec.masts[0].id: Required value"),
        ({"masts": [{"id": "a"}, {"id": "a"}]}, 'spec.masts[1]: Duplicate value: {"id":"a"}'),
        ({"masts": [{"id": c} for c in "abc"]}, "spec.masts: Too many: 3: must have at most 2 items"),
        ({"labels": {"a": 1}}, 'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string'),
        (
            {"since": "noon"},
            'spec.since: Invalid value: "noon": spec.since in body must be of type date-time: "noon"',
        ),
        ({"port": 1.5}, 'spec.port: Invalid value: "number": spec.port in body must be of type integer,string'),
    ],
)
def test_what_the_schema_forbids_is_said_with_the_fields_path(spec, complaint):
    assert any(found.startswith(complaint) for found in wrong(boat(**spec))), wrong(boat(**spec))


def test_what_the_schema_allows_is_allowed():
    assert (
        wrong(boat(port=80, note=None, crew=3.0, masts=[{"id": "a", "height": 1.5}], since="2026-01-01T00:00:00Z"))
        == []
    )
    assert wrong(boat(port="http", crew=9)) == []


def test_all_causes_come_at_once_and_required_objects_are_asked_for():
    assert len(wrong(boat(name="A1", crew=0, sail={"color": "blue"}))) == 3
    missing = boat()
    del missing["spec"]
    assert wrong(missing) == ["spec: Required value"]


def test_lists_with_keys_are_applied_by_key():
    live = server_side_apply(
        BOAT, None, boat(masts=[{"id": "a", "height": 1}]), manager="x", force=False, subresource="", now="t"
    )
    merged = server_side_apply(BOAT, live, boat(masts=[{"id": "b"}]), manager="y", force=False, subresource="", now="t")
    assert merged["spec"]["masts"] == [{"id": "a", "height": 1}, {"id": "b"}]


def test_a_definition_without_a_schema_takes_anything():
    crd = clone(CRD)
    del crd["spec"]["versions"][1]["schema"]
    anything = resources(crd)[0]
    assert unknown_fields(anything, boat(extra=1)) == []
    assert validate(anything, boat(extra=1), None) == []


def test_names_have_defaults_and_accepting_them_writes_the_status_once():
    crd = clone(CRD)
    accept(crd, "2026-01-01T00:00:01Z", Names())
    assert crd["spec"]["names"]["listKind"] == "BoatList"
    assert crd["spec"]["names"]["singular"] == "boat"
    assert crd["status"]["acceptedNames"]["kind"] == "Boat"
    assert crd["status"]["storedVersions"] == ["v1"]
    assert is_true(crd["status"]["conditions"], "Established")
    assert is_true(crd["status"]["conditions"], "NamesAccepted")
    again = clone(crd)
    accept(again, "2026-01-01T00:00:02Z", Names())
    assert again == crd


@pytest.mark.parametrize(
    ("others", "reason", "message"),
    [
        (Names(resources=frozenset({"boats"})), "PluralConflict", '"boats" is already in use'),
        (Names(resources=frozenset({"boat"})), "SingularConflict", '"boat" is already in use'),
        (Names(kinds=frozenset({"Boat"})), "KindConflict", '"Boat" is already in use'),
        (Names(kinds=frozenset({"BoatList"})), "ListKindConflict", '"BoatList" is already in use'),
        (Names(resources=frozenset({"bt"})), "ShortNamesConflict", '"bt" is already in use'),
    ],
)
def test_names_that_others_have_are_not_accepted_and_what_was_accepted_stays(others, reason, message):
    crd = clone(CRD)
    accept(crd, "2026-01-01T00:00:01Z", others)
    found = find_condition(crd["status"]["conditions"], "NamesAccepted")
    assert (found["status"], found["reason"], found["message"]) == ("False", reason, message)
    assert find_condition(crd["status"]["conditions"], "Established")["reason"] == "NotAccepted"
    assert not is_established(crd)
    accept(crd, "2026-01-01T00:00:02Z", Names())
    assert is_established(crd)
    # Who has a name keeps it.
    accept(crd, "2026-01-01T00:00:03Z", others)
    assert is_true(crd["status"]["conditions"], "NamesAccepted")


def test_an_established_definition_keeps_its_old_names_while_new_ones_are_in_use():
    crd = clone(CRD)
    accept(crd, "2026-01-01T00:00:01Z", Names())
    crd["spec"]["names"] |= {"shortNames": ["sh"], "singular": "vessel"}
    accept(crd, "2026-01-01T00:00:02Z", Names(resources=frozenset({"sh"})))
    assert is_established(crd)
    assert not is_true(crd["status"]["conditions"], "NamesAccepted")
    assert crd["status"]["acceptedNames"] == {
        "plural": "boats", "singular": "vessel", "kind": "Boat", "listKind": "BoatList", "shortNames": ["bt"],
        "categories": ["fleet"],
    }  # fmt: skip
    assert resources(crd)[0].short_names == ("bt",)


@pytest.mark.parametrize("spec", ["text", {}, {"names": 5}, {"names": {"kind": "A"}}, {"versions": [{}]}, None])
def test_a_malformed_definition_is_left_to_validation(spec):
    crd = {"metadata": {"name": "a"}, "spec": spec}
    accept(crd, "2026-01-01T00:00:01Z", Names())
    assert "status" not in crd


def with_rules(*rules):
    crd = clone(CRD)
    spec = crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = list(rules)
    return crd


def test_rules_are_evaluated():
    crd = with_rules(
        {"rule": "self.crew >= size(self.masts)", "message": "too few hands"},
        {"rule": "self.name == oldSelf.name", "message": "a boat keeps its name", "fieldPath": ".name"},
    )
    ruled = resources(crd)[0]
    obj = boat(crew=1, masts=[{"id": "a"}, {"id": "b"}])
    assert validate(ruled, obj, None) == [("FieldValueInvalid", "spec", "Invalid value: too few hands")]
    renamed = boat(crew=2, masts=[], name="other")
    expected = [("FieldValueInvalid", "spec.name", "Invalid value: a boat keeps its name")]
    assert validate(ruled, renamed, boat(crew=2, masts=[])) == expected


def test_rules_that_are_not_understood_are_named_in_a_condition():
    crd = with_rules({"rule": "self.crew > 0"}, {"rule": "frobnicate(self)"})
    accept(crd, "2026-01-01T00:00:01Z", Names())
    condition = find_condition(crd["status"]["conditions"], "ValidationRulesEvaluated")
    assert condition["status"] == "False"
    assert "frobnicate(self)" in condition["message"]
    assert "self.crew > 0" not in condition["message"]


def test_rules_wait_until_an_object_is_of_its_form():
    ruled = resources(with_rules({"rule": "self.crew >= size(self.masts)", "message": "too few hands"}))[0]
    found = validate(ruled, boat(crew="many", masts=[{"id": "a"}]), None)
    assert [field for _, field, _ in found] == ["spec.crew", "<nil>"]
    assert "some validation rules were not checked" in found[1][2]

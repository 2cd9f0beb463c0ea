"""Field sets, and the laws that sets obey."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import BadRequest
from roadstead.api.resources import resource
from roadstead.apiserver.patches.managed_fields import (
    compare,
    difference,
    field_set,
    intersection,
    object_set,
    paths,
    union,
)
from roadstead.apiserver.schemas import Schema, schema_of

POD = schema_of(resource("Pod"))
SPEC = POD.properties["spec"]


def test_lists_with_keys_are_entered_and_atomic_ones_are_not():
    containers = [{"name": "a", "args": ["x"], "ports": [{"containerPort": 80}]}]
    assert field_set({"containers": containers}, SPEC) == {
        "f:containers": {
            'k:{"name":"a"}': {
                ".": {},
                "f:name": {},
                "f:args": {},
                "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            }
        }
    }


def test_what_is_empty_is_a_field_unless_it_is_a_list():
    assert field_set({"containers": [], "nodeSelector": {}, "tolerations": []}, SPEC) == {
        "f:nodeSelector": {},
        "f:tolerations": {},  # atomic: the list itself is the field
    }
    assert field_set({"spec": {"containers": []}}, POD) == {}


def test_entries_of_maps_are_members_whatever_is_in_them():
    anything = Schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    assert field_set({"a": {"b": 1}}, anything) == {"f:a": {".": {}, "f:b": {}}}


def test_entries_of_atomic_objects_are_members_and_nothing_else():
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    assert field_set({"ownerReferences": [owner]}, POD.properties["metadata"]) == {
        "f:ownerReferences": {'k:{"uid":"u"}': {}}
    }


def test_what_is_new_is_a_member_with_all_objects_and_lists_in_it():
    changed, _ = compare(
        {"containers": None}, {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}, SPEC
    )
    assert changed == {
        "f:containers": {
            'k:{"name":"a"}': {
                ".": {},
                "f:name": {},
                "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
            }
        }
    }
    changed, _ = compare({}, {"containers": [{"name": "a"}]}, SPEC)
    assert changed == {"f:containers": {".": {}, 'k:{"name":"a"}': {".": {}, "f:name": {}}}}


def test_names_and_what_the_server_writes_are_not_owned():
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u", "labels": {"a": "b"}}}
    assert object_set(obj, POD) == {"f:metadata": {"f:labels": {"f:a": {}}}}


def test_sets_have_their_values_as_segments():
    metadata = POD.properties["metadata"]
    assert field_set({"finalizers": ["x"]}, metadata) == {"f:finalizers": {'v:"x"': {}}}


def test_an_entry_without_its_key_is_refused():
    with pytest.raises(BadRequest, match=r'omits all key fields \["name"\]'):
        field_set({"containers": [{"image": "x"}]}, SPEC)
    with pytest.raises(BadRequest, match="expected an object"):
        field_set({"containers": ["x"]}, SPEC)


def test_comparing_finds_what_was_added_changed_and_removed():
    before = {"nodeName": "n", "containers": [{"name": "a", "image": "1"}, {"name": "b"}]}
    after = {"hostname": "h", "containers": [{"name": "a", "image": "2"}]}
    changed, removed = compare(before, after, SPEC)
    assert set(paths(changed)) == {'.containers[name="a"].image', ".hostname"}
    assert set(paths(removed)) == {'.containers[name="b"]', '.containers[name="b"].name', ".nodeName"}


def test_true_is_not_one():
    assert compare({"a": True}, {"a": 1}, SPEC)[0] == {"f:a": {}}


def test_paths_are_readable():
    keys = 'k:{"containerPort":80,"protocol":"TCP"}'
    fields = {"f:spec": {"f:ports": {keys: {".": {}, "f:name": {}}}, "f:set": {'v:"x"': {}}}}
    assert list(paths(fields)) == [
        '.spec.ports[containerPort=80,protocol="TCP"]',
        '.spec.ports[containerPort=80,protocol="TCP"].name',
        '.spec.set[="x"]',
    ]


def _nodes(children):
    """Nodes of a set: members without children, or children with or without being a member."""
    return children.filter(bool).flatmap(lambda c: st.sampled_from([c, {".": {}, **c}]))


SETS = st.recursive(
    st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), st.just({}), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), st.just({}) | _nodes(inner), max_size=3),
    max_leaves=10,
)


def members(fields):
    return set(paths(fields))


@settings(max_examples=150)
@given(SETS, SETS)
def test_field_sets_obey_the_laws_of_sets(left, right):
    assert members(union(left, right)) == members(left) | members(right)
    assert members(intersection(left, right)) == members(left) & members(right)
    assert members(difference(left, right)) == members(left) - members(right)
    assert difference(left, left) == {}
    assert members(union(difference(left, right), intersection(left, right))) == members(left)

from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.objects import (
    ObjectKey,
    annotations_of,
    clone,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    owner_reference,
)


def test_keys():
    assert key_of({"metadata": {"name": "a", "namespace": "n"}}) == ObjectKey("n", "a")
    assert str(ObjectKey("n", "a")) == "n/a"
    assert str(ObjectKey("", "a")) == "a"
    assert key_of({}) == key_of({"metadata": None}) == ObjectKey("", "")


def test_what_is_absent_is_empty():
    for obj in ({}, {"metadata": None}, {"metadata": {"labels": None, "annotations": None}}):
        assert labels_of(obj) == annotations_of(obj) == {}
        assert not is_deleting(obj)
        assert controller_of(obj) is None


def test_owners():
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a", "uid": "u"}}
    reference = owner_reference(owner)
    owned = {"metadata": {"ownerReferences": [{"kind": "Other"}, reference], "deletionTimestamp": "t"}}
    assert controller_of(owned) == reference
    assert is_deleting(owned)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def containers(value):
    if isinstance(value, dict | list):
        yield id(value)
        for entry in value.values() if isinstance(value, dict) else value:
            yield from containers(entry)


@settings(max_examples=100)
@given(JSON)
def test_a_clone_is_equal_and_shares_nothing_that_can_change(value):
    copied = clone(value)
    assert copied == value
    assert not set(containers(copied)) & set(containers(value))

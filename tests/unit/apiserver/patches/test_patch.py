"""The three kinds of patch; JSON patch by the examples of RFC 6902, merge patch by those of RFC 7386."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from roadstead.api.resources import resource
from roadstead.apiserver.patches.patch import MAX_OPERATIONS, json_patch, merge_patch, strategic_merge_patch
from roadstead.apiserver.schemas import CustomResource

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/-0", max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_its_rfc(target, patch, result):
    assert merge_patch(target, patch) == result


def test_a_merge_patch_must_be_an_object():
    with pytest.raises(BadRequest):
        merge_patch({}, [1])


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"baz": "qux", "foo": 1}, [{"op": "remove", "path": "/baz"}], {"foo": 1}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        ({"a": [1, 2, 3]}, [{"op": "replace", "path": "/a/1", "value": 9}], {"a": [1, 9, 3]}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"thud": "fred"}},
        ),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a/b", "path": "/c"}], {"a": {"b": [1]}, "c": [1]}),
        ({"baz": ["a", 2]}, [{"op": "test", "path": "/baz/1", "value": 2}], {"baz": ["a", 2]}),
        ({"a~b/c": 1}, [{"op": "remove", "path": "/a~0b~1c"}], {}),
        ({"a": 1}, [{"op": "test", "path": "/b", "value": None}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patch_follows_the_examples_of_its_rfc(target, operations, result):
    assert json_patch(target, operations) == result


def test_replacing_what_is_not_there_adds_it_as_in_kubernetes():
    assert json_patch({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}]) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": 1}, [{"op": "copy", "from": "/b", "path": "/c"}], {"a": 1, "c": None}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-2", "value": 3}], {"a": [3, 2]}),
    ],
)
def test_json_patch_is_as_lenient_as_in_kubernetes(target, operations, result):
    assert json_patch(target, operations) == result


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        ({"op": "test", "path": "/a", "value": True}, "testing value /a failed"),
        ({"op": "remove", "path": "/nothing"}, "unable to remove nonexistent key: /nothing"),
        ({"op": "replace", "path": "/nothing/below", "value": 1}, "doc is missing path: /nothing"),
        ({"op": "add", "path": "/x/y", "value": 1}, "doc is missing path: /x"),
        ({"op": "add", "path": "/list/9", "value": 1}, "unable to access invalid index '9'"),
        ({"op": "remove", "path": "/list/-2"}, "unable to access invalid index '-2'"),
        ({"op": "add", "path": "/a"}, "has no value"),
        ({"op": "frobnicate", "path": "/a"}, "unexpected operation 'frobnicate'"),
        ({"op": "add", "path": "a", "value": 1}, "is no JSON pointer"),
        ({"op": "replace", "path": "", "value": 1}, "no object"),
    ],
)
def test_an_operation_that_cannot_be_applied_is_named(operation, problem):
    with pytest.raises(Invalid) as refused:
        json_patch({"a": 1, "list": [1]}, [operation])
    assert problem in refused.value.message


def test_a_json_patch_must_be_a_list_of_not_too_many_operations():
    with pytest.raises(BadRequest):
        json_patch({}, {"op": "add"})
    with pytest.raises(RequestEntityTooLarge):
        json_patch({}, [{"op": "test", "path": "/a", "value": None}] * (MAX_OPERATIONS + 1))


@settings(max_examples=80)
@given(
    OBJECTS, st.lists(st.dictionaries(st.sampled_from(["op", "path", "from", "value"]), JSON, max_size=4), max_size=3)
)
def test_json_patch_raises_nothing_but_api_errors_and_leaves_its_target_alone(target, operations):
    before = repr(target)
    with contextlib.suppress(ApiError):
        json_patch(target, operations)
    assert repr(target) == before


@settings(max_examples=80)
@given(OBJECTS, st.text("ab/~01-", max_size=4), JSON)
def test_what_json_patch_adds_it_can_test_and_remove(target, name, value):
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    added = json_patch(target, [{"op": "add", "path": pointer, "value": value}])
    assert json_patch(added, [{"op": "test", "path": pointer, "value": value}]) == added
    without = {key: entry for key, entry in target.items() if key != name}
    assert json_patch(added, [{"op": "remove", "path": pointer}]) == without


@settings(max_examples=80)
@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(target, patch):
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_strategic_merge_is_refused_for_custom_resources():
    custom = CustomResource("example.com", "v1", "things", "Thing")
    with pytest.raises(UnsupportedMediaType):
        strategic_merge_patch(custom, {}, {})


def test_a_strategic_merge_patch_leaves_both_arguments_alone():
    target = {"spec": {"containers": [{"name": "a", "image": "1"}]}}
    patch = {"spec": {"containers": [{"name": "a", "image": "2"}]}}
    merged = strategic_merge_patch(resource("Pod"), target, patch)
    assert merged["spec"]["containers"] == [{"name": "a", "image": "2"}]
    assert target["spec"]["containers"][0]["image"] == "1"
    merged["spec"]["containers"][0]["image"] = "3"
    assert patch["spec"]["containers"][0]["image"] == "2"


def test_copies_may_add_only_so_much():
    doubling = [{"op": "add", "path": "/a", "value": ["x" * 1000]}]
    doubling += [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(Invalid, match="the accumulated size increase of copy"):
        json_patch({}, doubling)
    assert len(json_patch({}, doubling[:6])["a"]) == 6

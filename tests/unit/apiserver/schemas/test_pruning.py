from roadstead.apiserver.schemas.pruning import prune, unknown_paths
from roadstead.apiserver.schemas.structure import Compiler

RAW = {
    "type": "object",
    "properties": {
        "known": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "free": {"type": "object"},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "string"}}}},
    },
}
VALUE = {"known": "x", "other": 1, "list": [{"a": "1", "z": 2}], "free": {"q": 1}, "map": {"k": {"b": "1", "y": 2}}}


def test_paths_of_unknown_fields_in_the_order_of_writing():
    assert unknown_paths(VALUE, Compiler({}).compile(RAW)) == ["other", "list[0].z", "map.k.y"]


def test_in_a_crd_an_object_without_fields_has_none():
    assert unknown_paths(VALUE, Compiler({}, strict=True).compile(RAW)) == ["other", "list[0].z", "free.q", "map.k.y"]


def test_pruning_leaves_what_is_known():
    value = {"known": "x", "other": 1, "list": [{"a": "1", "z": 2}], "map": {"k": {"b": "1", "y": 2}}}
    prune(value, Compiler({}, strict=True).compile(RAW))
    assert value == {"known": "x", "list": [{"a": "1"}], "map": {"k": {"b": "1"}}}

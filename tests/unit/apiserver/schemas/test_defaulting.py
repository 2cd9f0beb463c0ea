from roadstead.apiserver.schemas.defaulting import fill_in
from roadstead.apiserver.schemas.structure import Compiler

SCHEMA = Compiler({}).compile(
    {
        "type": "object",
        "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "object", "default": {}, "properties": {"c": {"type": "integer", "default": 3}}},
            "n": {"type": "string", "nullable": True, "default": "y"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"d": {"default": True}}}},
        },
    }
)


def test_defaults_reach_into_defaults_and_lists():
    value = {"list": [{}, {"d": False}]}
    fill_in(value, SCHEMA)
    assert value == {"a": "x", "b": {"c": 3}, "n": "y", "list": [{"d": True}, {"d": False}]}


def test_null_counts_as_absent_unless_it_is_allowed():
    value = {"a": None, "n": None}
    fill_in(value, SCHEMA)
    assert (value["a"], value["n"]) == ("x", None)


def test_a_default_is_a_copy():
    first, second = {}, {}
    fill_in(first, SCHEMA)
    first["b"]["c"] = 9
    fill_in(second, SCHEMA)
    assert second["b"] == {"c": 3}

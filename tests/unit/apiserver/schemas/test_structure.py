import pytest

from roadstead.apiserver.schemas.structure import MISSING, Compiler


def test_definitions_may_refer_to_each_other_in_circles():
    definitions = {
        "Tree": {
            "type": "object",
            "properties": {"left": {"$ref": "#/components/schemas/Tree"}, "leaf": {"type": "string"}},
        }
    }
    tree = Compiler(definitions).definition("Tree")
    assert tree.properties["left"].properties["left"].properties["leaf"].type == "string"


def test_a_field_annotates_what_it_refers_to_without_changing_it():
    definitions = {"Strategy": {"type": "object", "properties": {"type": {"type": "string"}}}}
    compiler = Compiler(definitions)
    raw = {
        "allOf": [{"$ref": "#/components/schemas/Strategy"}],
        "default": {},
        "x-kubernetes-patch-strategy": "retainKeys",
    }
    field = compiler.compile(raw)
    assert field.retain_keys
    assert field.default == {}
    assert field.properties == compiler.definition("Strategy").properties
    assert not compiler.definition("Strategy").retain_keys
    assert compiler.definition("Strategy").default is MISSING


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        ({"type": "string"}, "string"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, "int-or-string"),
        ({"properties": {}}, "object"),
        ({}, "any"),
    ],
)
def test_types(raw, type_):
    assert Compiler({}).compile(raw).type == type_


@pytest.mark.parametrize(
    ("pattern", "accepted", "refused"),
    [
        ("^a+$", "aa", "aa\n"),
        (r"^a\$$", "a$", "a"),
        (r"^a\z", "a", "a\n"),
        ("^(?i)abc$", "ABC", "abd"),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern, accepted, refused):
    compiled = Compiler({}).compile({"type": "string", "pattern": pattern}).pattern
    assert compiled.search(accepted)
    assert not compiled.search(refused)


def test_a_pattern_that_cannot_be_read_is_none():
    assert Compiler({}).compile({"pattern": "a(b"}).pattern is None
    assert Compiler({}).compile({}).pattern is None

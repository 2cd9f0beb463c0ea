import pytest

from roadstead.apiserver.schemas.checking import matches_format, schema_causes, type_causes
from roadstead.apiserver.schemas.structure import Compiler


def check(value, **raw):
    return [message for _, _, message in schema_causes(value, Compiler({}).compile(raw), "a")]


@pytest.mark.parametrize(
    ("format_", "accepted", "refused"),
    [
        ("date-time", "2026-01-01T00:00:00.5Z", "2026-01-01 00:00:00Z"),
        ("date-time", "2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00"),
        ("date", "2026-02-28", "2026-02-30"),
        ("duration", "1h2m3.5s", "1 hour"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.1"),
        ("uuid", "01234567-89ab-cdef-0123-456789abcdef", "no"),
        ("byte", "aGk=", "a!"),
    ],
)
def test_formats(format_, accepted, refused):
    assert matches_format(accepted, format_)
    assert not matches_format(refused, format_)


def test_unknown_formats_are_documentation():
    assert matches_format("anything", "int32")


def test_combinations():
    either = {"anyOf": [{"required": ["x"]}, {"required": ["y"]}], "type": "object"}
    assert check({"x": 1}, **either) == []
    assert check({}, **either) == ['Invalid value: "": "a" must validate at least one schema (anyOf)']
    one = {"oneOf": [{"required": ["x"]}, {"required": ["y"]}], "type": "object"}
    assert check({"x": 1}, **one) == []
    assert "Found 2 valid alternatives" in check({"x": 1, "y": 1}, **one)[0]
    assert "Found none valid" in check({}, **one)[0]
    assert check(5, type="integer", **{"not": {"enum": [5]}}) == [
        'Invalid value: "": "a" must not validate the schema (not)'
    ]
    assert check(5, type="integer", allOf=[{"maximum": 4, "type": "integer"}]) == [
        "Invalid value: 5: a in body should be less than or equal to 4"
    ]


def test_exclusive_bounds_and_multiples():
    assert check(5, type="integer", maximum=5, exclusiveMaximum=True) == [
        "Invalid value: 5: a in body should be less than 5"
    ]
    assert check(1, type="integer", minimum=1, exclusiveMinimum=True)
    assert check(7, type="integer", multipleOf=2) == ["Invalid value: 7: a in body should be a multiple of 2"]


def test_sizes():
    assert check("", type="string", minLength=1) == ['Invalid value: "": a in body should be at least 1 chars long']
    assert check([], type="array", minItems=1) == ["Invalid value: 0: a in body should have at least 1 items"]
    assert check({}, type="object", minProperties=1) == [
        "Invalid value: {}: a in body should have at least 1 properties"
    ]
    assert check({"a": 1}, type="object", maxProperties=0) == ["Too many: 1: must have at most 0 items"]
    assert check(["a", "a"], type="array", **{"x-kubernetes-list-type": "set"}) == ['Duplicate value: "a"']


def test_a_value_of_a_wrong_type_is_named_by_its_type():
    schema = Compiler({}).compile({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array"}}})
    assert type_causes({"a": 5, "b": {}}, schema) == [
        ("FieldValueTypeInvalid", "a", 'Invalid value: "integer": must be of type string; put it in quotes'),
        ("FieldValueTypeInvalid", "b", 'Invalid value: "object": must be of type array'),
    ]
    assert type_causes({"a": None}, schema) == []


def test_deep_nesting_is_refused_and_not_followed():
    schema = Compiler({"T": {"type": "object", "properties": {"t": {"$ref": "#/components/schemas/T"}}}}).definition(
        "T"
    )
    value = {}
    for _ in range(2000):
        value = {"t": value}
    assert "nested too deeply" in type_causes(value, schema)[0][2]
    assert "nested too deeply" in schema_causes(value, schema)[0][2]

from roadstead.apiserver.schemas.rules import rule_causes, unsupported_rules
from roadstead.apiserver.schemas.structure import MISSING, Compiler


def schema(*rules, **raw):
    return Compiler({}).compile({"type": "object", "x-kubernetes-validations": list(rules), **raw})


def test_a_failed_rule_says_its_message_at_its_field():
    ruled = schema({"rule": "self.a < self.b", "message": "a must be less than b"})
    assert rule_causes({"a": 1, "b": 2}, MISSING, ruled) == []
    assert rule_causes({"a": 2, "b": 2}, MISSING, ruled) == [
        ("FieldValueInvalid", "", "Invalid value: a must be less than b")
    ]


def test_without_a_message_the_rule_is_shown_and_a_message_may_be_computed():
    assert rule_causes({}, MISSING, schema({"rule": "false"}))[0][2].endswith("failed rule: false")
    computed = schema({"rule": "self.a < 3", "messageExpression": "'a is ' + string(self.a)", "message": "no"})
    assert rule_causes({"a": 5}, MISSING, computed)[0][2].endswith(": a is 5")
    failing = schema({"rule": "false", "messageExpression": "self.nothing", "message": "plain"})
    assert rule_causes({}, MISSING, failing)[0][2].endswith(": plain")


def test_rules_inside_are_found_with_their_path():
    inner = {"type": "object", "x-kubernetes-validations": [{"rule": "has(self.x)", "message": "x!"}]}
    outer = schema(
        properties={"list": {"type": "array", "items": inner}, "map": {"type": "object", "additionalProperties": inner}}
    )
    found = rule_causes({"list": [{"x": 1}, {}], "map": {"k": {}}}, MISSING, outer)
    assert [field for _, field, _ in found] == ["list[1]", "map.k"]


def test_transitions_are_checked_where_there_was_something_before():
    rule = {"rule": "self == oldSelf", "message": "immutable"}
    item = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "v": {"type": "integer", "x-kubernetes-validations": [rule]}},
    }
    listed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["id"],
        "items": item,
    }
    keyed = schema(properties={"list": listed})
    old = {"list": [{"id": "a", "v": 1}, {"id": "b", "v": 2}]}
    new = {"list": [{"id": "c", "v": 9}, {"id": "b", "v": 3}, {"id": "a", "v": 1}]}
    assert rule_causes(new, MISSING, keyed) == []
    assert rule_causes(new, old, keyed) == [("FieldValueInvalid", "list[1].v", "Invalid value: 3: immutable")]


def test_reasons_and_paths_of_a_rule():
    for reason, words in (("FieldValueForbidden", "Forbidden: no"), ("FieldValueRequired", "Required value: no")):
        ruled = schema({"rule": "false", "message": "no", "reason": reason, "fieldPath": ".spec.a"})
        assert rule_causes({}, MISSING, ruled) == [(reason, "spec.a", words)]


def test_an_error_is_a_failure_but_types_that_do_not_fit_are_not():
    assert "no such key: a" in rule_causes({}, MISSING, schema({"rule": "self.a > 1"}))[0][2]
    assert (
        rule_causes(
            {"a": "2026-01-01T00:00:00Z"}, MISSING, schema({"rule": "self.a < timestamp('2026-01-01T00:00:00Z')"})
        )
        == []
    )


def test_rules_that_are_not_understood_are_named_and_not_evaluated():
    raw = {"properties": {"a": {"items": {"x-kubernetes-validations": [{"rule": "true"}, {"rule": "what(self)"}]}}}}
    assert unsupported_rules(raw) == ["what(self)"]
    assert rule_causes({}, MISSING, schema({"rule": "what(self)"})) == []


ENDLESS = "self.all(a, self.all(b, self.all(c, a == b || true)))"


def test_a_rule_that_costs_too_much_refuses_the_object_and_ends_the_evaluation():
    rules = [{"rule": "size(self) < 9", "message": "long"}, {"rule": ENDLESS}, {"rule": "false", "message": "never"}]
    listed = {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules}
    ruled = schema({"rule": "true"}, properties={"list": listed, "other": listed})
    found = rule_causes({"list": list(range(300)), "other": list(range(300))}, MISSING, ruled)
    assert [(field, message) for _, field, message in found] == [
        ("list", "Invalid value: long"),
        (
            "list",
            "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules "
            f"will be run due to call cost exceeds limit for rule: {ENDLESS}",
        ),
    ]


def test_all_rules_of_an_object_share_what_they_may_cost():
    pairs = {"rule": "self.all(a, self.all(b, a == b || true))"}
    row = {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": [pairs]}
    ruled = schema({"rule": "true"}, properties={"rows": {"type": "array", "items": row}})
    rows = [list(range(300))] * 20
    assert rule_causes({"rows": rows[:2]}, MISSING, ruled) == []
    (_, field, message), *others = rule_causes({"rows": rows}, MISSING, ruled)
    assert message == (
        'Invalid value: "array": validation failed due to running out of cost budget, '
        "no further validation rules will be run"
    )
    assert (field.startswith("rows["), others) == (True, [])


def test_a_message_that_costs_too_much_is_the_plain_one():
    ruled = schema({"rule": "false", "messageExpression": f"string({ENDLESS})", "message": "plain"})
    assert rule_causes({str(number): 1 for number in range(300)}, MISSING, ruled)[0][2].endswith(": plain")

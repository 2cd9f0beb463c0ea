import pytest

from roadstead.apiserver.cel import CelError, CelSyntaxError, NoOverload, compile_rule

SELF = {"spec": {"replicas": 3, "list": [{"a": 1}, {}], "a-b": 4}, "nothing": None, "empty": ""}


def evaluate(text):
    return compile_rule(text)(self=SELF)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.?spec.?replicas.orValue(1)", 3),
        ("self.?spec.?size.orValue(1)", 1),
        ("self.?status.?ready.orValue(1)", 1),
        ("self.?spec.replicas.orValue(1)", 3),
        ("self.?status.ready.orValue(1)", 1),
        ("self.?spec.list[0].a.orValue(0)", 1),
        ("self.?spec.list[7].a.orValue(0)", 0),
        ("self.?spec.a__dash__b.value()", 4),
        ("self[?'spec'].hasValue()", True),
        ("self.spec.list[?1].hasValue()", True),
        ("self.spec.list[?2].hasValue()", False),
        ("self.spec.list[?-1].hasValue()", False),
        ("self.nothing.?field.hasValue()", False),
        ("self.?nothing.hasValue()", True),
        ("optional.of(2).value()", 2),
        ("optional.none().orValue(5)", 5),
        ("optional.ofNonZeroValue(self.empty).hasValue()", False),
        ("optional.ofNonZeroValue(7).value()", 7),
        ("self.?status.or(self.?spec).replicas.value()", 3),
        ("self.?spec.?replicas.optMap(n, n * 2).orValue(0)", 6),
        ("self.?spec.?size.optMap(n, n * 2).orValue(0)", 0),
        ("self.?spec.optFlatMap(s, s.?replicas).orValue(0)", 3),
        ("optional.none() == self.?status", True),
        ("true ? .5 : 1.0", 0.5),
        ("[1, ?self.?spec.?replicas, ?self.?status]", [1, 3]),
        ("{?'a': self.?spec.?replicas, ?'b': self.?status, 'c': 0}", {"a": 3, "c": 0}),
        ("optional.of(1).orValue(1 / 0)", 1),
        ("optional.of(1).or(self.nothing.at.all).value()", 1),
        ("optional.ofNonZeroValue(duration('0s')).hasValue()", False),
        ("optional.unwrap([optional.of(1), optional.none()])", [1]),
        ("has(self.?spec.replicas) && !has(self.?status.ready)", True),
    ],
)
def test_values(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize("text", ["self.?status.value()", "optional.none().value()"])
def test_what_is_absent_has_no_value(text):
    with pytest.raises(CelError, match=r"optional.none\(\) dereference"):
        evaluate(text)


@pytest.mark.parametrize(
    "text",
    ["self.spec.orValue(1)", "self.hasValue()", "optional.none().or(1)", "optional.of()", "self.spec.optMap(v, v)"],
)
def test_what_is_not_optional_fits_nothing(text):
    with pytest.raises(NoOverload):
        evaluate(text)


@pytest.mark.parametrize(
    "text", ["optional", "optional.some(1)", "self.?spec()", "self.?", "self.spec.optMap(1, 2)", "[?]", "{?}"]
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(CelSyntaxError):
        compile_rule(text)

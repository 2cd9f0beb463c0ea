import pytest

from roadstead.apiserver.cel import Budget, CelError, CostExceeded, NoOverload, compile_rule

SELF = {"name": "web", "map": {"b": 2, "a": [True, None]}, "long": "x" * 100_000}


def evaluate(text, budget=None):
    return compile_rule(text)(budget, self=SELF)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'%s has %d of %d'.format([self.name, 3, 5])", "web has 3 of 5"),
        ("'%s'.format([self.map])", '{"a":[true, null], "b":2}'),
        ("'%s %s'.format([1.5, true])", "1.5 true"),
        ("'%s'.format([timestamp('2026-01-02T03:04:05Z')])", "2026-01-02T03:04:05Z"),
        ("'%s'.format([duration('90s')])", "90s"),
        ("'%.2f|%f|%e'.format([1.234, 1, 1500.0])", "1.23|1.000000|1.500000×10⁰³"),
        ("'%x %X %x %o %b %b'.format([255, 255, 'hi', 8, 5, true])", "ff FF 6869 10 101 1"),
        ("'100%%'.format([])", "100%"),
        ("'hello'.charAt(1)", "e"),
        ("'hello'.charAt(5)", ""),
        ("'abc 123 def 456'.find('[0-9]+')", "123"),
        ("'abc'.find('[0-9]+')", ""),
        ("'abc 123 def 456'.findAll('[0-9]+')", ["123", "456"]),
        ("'abc 123 def 456'.findAll('[0-9]+', 1)", ["123"]),
        ("'abc'.reverse()", "cba"),
        ("[1, 2].reverse()", [2, 1]),
    ],
)
def test_values(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "'%s'.format([])",
        "'%q'.format([1])",
        "'%.200f'.format([1.0])",
        "'a'.charAt(2)",
        "'a'.charAt(-1)",
        "'a'.find('(')",
    ],
)
def test_what_does_not_fit_has_no_value(text):
    with pytest.raises(CelError):
        evaluate(text)


@pytest.mark.parametrize("text", ["'%d'.format(['a'])", "'%d'.format(1)", "1.find('a')", "'%f'.format([true])"])
def test_types_must_fit(text):
    with pytest.raises(NoOverload):
        evaluate(text)


def test_long_texts_are_paid_for():
    with pytest.raises(CostExceeded):
        evaluate("'%s'.format([[self.long, self.long]])", Budget(15_000))
    assert len(evaluate("'%s'.format([self.long])", Budget(15_000))) == 100_000

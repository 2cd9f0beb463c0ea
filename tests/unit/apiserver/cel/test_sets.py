import pytest

from roadstead.apiserver.cel import Budget, CelSyntaxError, CostExceeded, NoOverload, compile_rule

SELF = {"few": ["a", "b"], "many": list(range(2000))}


def evaluate(text, budget=None):
    return compile_rule(text)(budget, self=SELF)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sets.contains(self.few, ['b'])", True),
        ("sets.contains(self.few, ['b', 'c'])", False),
        ("sets.contains(self.few, [])", True),
        ("sets.contains([1], [true])", False),
        ("sets.equivalent(self.few, ['b', 'a', 'a'])", True),
        ("sets.equivalent(self.few, ['a'])", False),
        ("sets.intersects(self.few, ['c', 'a'])", True),
        ("sets.intersects(self.few, [])", False),
        ("self.few.contains == 1 || true", True),
    ],
)
def test_values(text, value):
    assert evaluate(text) == value


def test_only_lists_are_sets():
    with pytest.raises(NoOverload):
        evaluate("sets.contains(self.few, 'a')")


@pytest.mark.parametrize("text", ["sets", "sets.union([], [])", "contains([], [])"])
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(CelSyntaxError):
        compile_rule(text)


def test_large_sets_are_paid_for():
    with pytest.raises(CostExceeded):
        evaluate("sets.contains(self.many, self.many)", Budget(1_000_000))

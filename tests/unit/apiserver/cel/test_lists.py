import pytest

from roadstead.apiserver.cel import CelError, NoOverload, compile_rule


def evaluate(text, value=None):
    return compile_rule(text)(self=value)


def test_entries_are_the_same_as_cel_has_it():
    assert evaluate("self.distinct()", [1, 1.0, True, "1"]) == [1, True, "1"]
    assert evaluate("self.indexOf([true])", [[1], [True]]) == 1


def test_sorting_by_what_has_no_order():
    for value in ([1, "a"], [[1]], [{}], [None], [1, 1.5]):
        with pytest.raises(CelError, match="comparable"):
            evaluate("self.sort()", value)
        with pytest.raises(CelError, match="comparable"):
            evaluate("self.sortBy(a, a)", value)


@pytest.mark.parametrize("text", ["self.max()", "self.min()", "self.isSorted()", "self.sum()"])
def test_what_has_no_order_or_sum(text):
    for value in (["a", 1], [[1], [2]], [True, 1]):
        with pytest.raises(NoOverload):
            evaluate(text, value)


@pytest.mark.parametrize(
    "text", ["self.slice(2, 1)", "self.slice(0, 9)", "self.flatten(-1)", "[].max()", "lists.range(-1)"]
)
def test_what_has_no_value(text):
    with pytest.raises(CelError):
        evaluate(text, [1, 2])

"""What evaluations may cost: whatever grows with the object is paid for, and nothing goes on without a budget."""

import pytest

from roadstead.apiserver.cel import EVALUATION_LIMIT, Budget, CelError, CelSyntaxError, CostExceeded, compile_rule

LIMIT = "operation cancelled: actual cost limit exceeded"


def cost(rule, value=None, limit=EVALUATION_LIMIT):
    budget = Budget(limit)
    compile_rule(rule)(budget, self=value, oldSelf=None)
    return limit - budget.left


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("self.all(a, a > 0)", list(range(1, 101))),
        ("self.exists(a, a > 1000)", list(range(100))),
        ("self.map(a, a + 1) == self", list(range(100))),
        ("self == self.map(a, a)", [[n] for n in range(100)]),
        ("500 in self", list(range(100))),
        ("self.filter(a, a != '').join(',').size() > 0", ["x"] * 100),
        ("self.contains('z')", "a" * 1000),
        ("(self + self) == ''", "a" * 1000),
        ("self.matches('^a+$')", "a" * 1000),
        ("'x'.replace('x', self).size() > 0", "a" * 1000),
        ("self.split(',').size() > 0", "a" * 1000),
        ("self == self", {str(n): n for n in range(100)}),
        ("self.distinct().size() > 0", list(range(100))),
        ("self.sort().size() > 0", list(range(100))),
        ("self.sortBy(a, -a).size() > 0", list(range(100))),
        ("[self].flatten().size() > 0", list(range(100))),
        ("self.indexOf(-1) == -1", list(range(100))),
        ("self.transformMap(i, a, a).size() > 0", list(range(100))),
        ("'%s'.format([self]).size() > 0", list(range(100))),
        ("self.format([]).size() > 0", "%%" * 500),
        ("self.findAll('a').size() > 0", "a" * 1000),
        ("strings.quote(self).size() > 0", "a" * 1000),
        ("isURL(self)", "https://" + "a" * 1000),
        ("url('/' + self).getQuery().size() == 0", "a" * 1000),
    ],
)
def test_what_takes_longer_with_a_larger_value_costs_more(rule, value):
    small = value[: len(value) // 10] if isinstance(value, list | str) else {"a": 1}
    assert cost(rule, value) > cost(rule, small) + len(value) // 20


def test_an_expression_costs_its_parts_whatever_the_object():
    assert cost("self.a > 1 && size(self.b) > 2", {"a": 5, "b": "x" * 3}) == cost(
        "self.a > 1 && size(self.b) > 2", {"a": 7, "b": "x" * 100_000}
    )


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", list(range(200))),
        ("self.all(a, self.map(b, self) != [])", list(range(2000))),
        ("self.all(a, self.map(b, self) == self.map(b, self))", list(range(200))),
        ("self.all(a, (self[0] + self[0] + a).size() > 0)", ["x" * 100_000] * 100),
        ("self.replace('', self).size() > 0", "x" * 100_000),
        ("self.all(a, self.join(a).size() > 0)", ["x" * 1000] * 1000),
        ("self.all(a, !'x'.matches(a))", [rf"(\pL{{30}}.{{30}}){{{n}}}" for n in range(2, 30)]),
        ("self.all(a, a.matches(self[0]))", ["a" * 10_000] * 100),
        ("lists.range(100000000000) == []", None),
        ("self.all(a, lists.range(100000).size() > 0)", list(range(100))),
        ("self.all(a, a.findAll('x').size() > 0)", ["x" * 100_000] * 100),
        ("self.all(a, a.findAll(a, 1).size() > 0)", ["x" * 10_000] * 100),
        ("self.all(a, self.all(i, b, self.all(j, c, a + b + c >= 0)))", list(range(200))),
        ("lists.range(1000).all(i, timestamp(0).getHours('Europe/Berlin') > 1 || true)", None),
        ("[self]" + ".map(a, [a, a])" * 60 + ".flatten(99) == []", ["x"]),
        ("'%s'.format([self]" + ".map(a, [a, a])" * 60 + ") == ''", ["x"]),
        ("sets.contains([self]" + ".map(a, [a, a])" * 60 + ", [1])", ["x"]),
    ],
)
def test_what_costs_too_much_is_given_up(rule, value):
    with pytest.raises(CostExceeded, match=LIMIT):
        compile_rule(rule)(self=value, oldSelf=None)


def test_nothing_makes_good_of_an_evaluation_that_was_given_up():
    endless = "self.all(a, self.all(b, self.all(c, true)))"
    for rule in (f"{endless} || true", f"!(false && {endless}) && {endless}", f"[1].exists(x, {endless})"):
        with pytest.raises(CostExceeded):
            compile_rule(rule)(self=list(range(500)), oldSelf=None)
    assert compile_rule(f"true || {endless}")(self=list(range(500)), oldSelf=None) is True


@pytest.mark.parametrize("rule", ["'a' * 1000000000 == ''", "[1] * 1000000000 == []", "3 * self == ''"])
def test_texts_and_lists_are_not_multiplied(rule):
    with pytest.raises(CelError, match="no such overload"):
        compile_rule(rule)(self="x", oldSelf=None)


@pytest.mark.parametrize("rule", ["self * self", "self + self * 4", "0 - self * 4"])
def test_integers_have_64_bits(rule):
    with pytest.raises(CelError, match="integer overflow"):
        compile_rule(rule)(self=2**63 - 1, oldSelf=None)


@pytest.mark.parametrize(
    "rule", ["1" + "+1" * 5000, "!" * 20_000 + "true", "self" + ".a" * 5000, "(" * 99 + "1" + ")" * 99]
)
def test_rules_that_are_nested_beyond_reason_are_not_understood(rule):
    with pytest.raises(CelSyntaxError, match="nested too deeply"):
        compile_rule(rule)

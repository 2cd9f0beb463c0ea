import pytest

from roadstead.apiserver.cel import CelError, NoOverload, compile_rule


def evaluate(text, value=None):
    return compile_rule(text)(self=value)


@pytest.mark.parametrize(
    "text",
    [
        "true + true", "-true", "[1] < [2]", "{} < {}", "true * 2", "'%s' % 'a'", "5.0 % 3.0", "'a' - 'b'",
        "quantity('1') < quantity('2')", "duration('1h') * 2", "-duration('1h')", "duration('1h') / duration('1m')",
        "timestamp('2026-01-01T00:00:00Z') + timestamp('2026-01-01T00:00:00Z')", "'a' in 'abc'", "'abc'[0]",
    ],
)  # fmt: skip
def test_what_python_can_do_and_cel_cannot(text):
    with pytest.raises(CelError):
        evaluate(text)


@pytest.mark.parametrize("text", ["self + 1", "self * 2", "-self - 2", "self - -1"])
def test_integers_do_not_grow_beyond_64_bits(text):
    with pytest.raises(CelError, match="integer overflow"):
        evaluate(text, 2**63 - 1)


def test_true_is_not_one_wherever_it_is():
    for text in ("self == [1]", "{'a': self[0]} == {'a': 1}", "self[0] in {1: 2}", "self[0] in [1]"):
        assert evaluate(text, [True]) is False


def test_times_have_bounds():
    with pytest.raises(CelError, match="out of range"):
        evaluate("timestamp('9999-12-31T23:59:59Z') + duration('10s')")


def test_numbers_of_a_schema_may_be_written_as_integers():
    assert evaluate("self * 1.5", 2) == 3.0


def test_types_that_do_not_fit_are_no_value_of_their_own():
    with pytest.raises(NoOverload):
        evaluate("1 + self", "a")

import pytest

from roadstead.apiserver.cel import CelError, NoOverload, compile_rule
from roadstead.apiserver.cel.conversions import double_text


def evaluate(text):
    return compile_rule(text)()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (-0.5, "-0.5"), (0.0, "0"), (100000.0, "100000"), (1000000.0, "1e+06"), (0.0001, "0.0001"),
        (0.00001, "1e-05"), (1.5e300, "1.5e+300"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)  # fmt: skip
def test_floating_point_numbers_are_written_with_as_few_digits_as_tell_them_apart(value, text):
    assert double_text(value) == text


@pytest.mark.parametrize(
    "text", ["int('1_000')", "int(' 1')", "int('9223372036854775808')", "double('1 ')", "uint(-1)"]
)
def test_what_python_would_take_for_a_number(text):
    with pytest.raises(CelError):
        evaluate(text)


@pytest.mark.parametrize("text", ["string([1])", "string(null)", "int(true)", "bool(1)", "bytes(1)", "timestamp(true)"])
def test_what_cannot_be_converted(text):
    with pytest.raises(NoOverload):
        evaluate(text)

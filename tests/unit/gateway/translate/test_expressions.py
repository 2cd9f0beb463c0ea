import pytest

from roadstead.gateway.translate.expressions import expression_problem


@pytest.mark.parametrize("good", ["a.*", "(?:a|b)+?", "(?i)abc", r"\d{3}", r"(?P<x>\w+)", "[^/]+", "a{2,5}"])
def test_expressions_that_both_know(good: str) -> None:
    assert expression_problem(good) is None


BAD = [
    "",
    "(",
    "a**",
    "(?=a)",
    "(?<!a)",
    r"(a)\1",
    "(?>a)",
    "a++",
    r"a\Z",
    "a{1001}",
    "(a{40}){40}",
    "[",
    "\\",
    "a" * 1025,
]


@pytest.mark.parametrize("bad", BAD)
def test_expressions_that_envoy_might_refuse(bad: str) -> None:
    assert expression_problem(bad)

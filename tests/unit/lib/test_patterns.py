"""Patterns: as Python's own matcher where both read one alike, and in linear time whatever the pattern."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roadstead.apiserver.schemas.tables import definitions
from roadstead.lib.patterns import PatternError, compile_pattern

ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\b", "^", r"\B"])


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


PATTERNS = st.recursive(ATOMS, _combined, max_leaves=6)


@settings(max_examples=400)
@given(PATTERNS, st.text("abc1 \n", max_size=8))
def test_as_python_matches(pattern: str, text: str) -> None:
    assume(text or r"\B" not in pattern)  # that an empty text has no place inside a word is Python's own opinion
    assert compile_pattern(pattern).search(text) is (re.search(pattern, text) is not None)


@settings(max_examples=300)
@given(st.text("ab()[]{}*+?|^$\\.dwpPQEx1,-:=!<>i", max_size=12), st.text(max_size=5))
def test_any_text_is_a_pattern_or_is_refused(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except ValueError:
        return
    assert compiled.search(text) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a+)+$", "a" * 50_000 + "!"),
        (r"^(a|a)*$", "a" * 50_000 + "!"),
        (r"^(a|aa)+$", "a" * 50_000 + "!"),
        (r"(.*)(.*)(.*)(.*)(.*)x", "y" * 50_000),
        (r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}$", "a" * 50_000),
        (r"^(\w+\s?)*$", "word " * 10_000 + "!"),
    ],
)
def test_hostile_patterns_take_no_longer_than_others(pattern: str, text: str) -> None:
    # An engine that goes back and tries again would not end while this test may run.
    assert not compile_pattern(pattern).search(text)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("a(b", "missing ): a(b"),
        ("*a", "no argument for repetition operator: *"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("((a{100}){100}){100}", "invalid repetition size"),
        ("(?=a)", "invalid perl operator: (?="),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert str(refused.value).startswith("error parsing regexp: ")
    assert problem in str(refused.value)


def test_a_whole_text_or_a_part_of_it() -> None:
    pattern = compile_pattern("b+")
    assert pattern.search("abbc")
    assert not pattern.covers("abbc")
    assert pattern.covers("bb")


def test_text_that_cannot_be_written_in_utf_8_is_matched_all_the_same() -> None:
    assert compile_pattern("^a.$").search("a\ud800")


def patterns_in(schema: object) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*(patterns_in(value) for value in schema.values()))
    if isinstance(schema, list):
        return set().union(*(patterns_in(value) for value in schema))
    return set()


def test_the_patterns_of_the_gateway_api_can_be_read() -> None:
    found = patterns_in(definitions())
    assert len(found) > 10
    for pattern in found:
        compile_pattern(pattern)
    hosts = compile_pattern(r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    assert hosts.search("*.example.com")
    assert not hosts.search("Example.com")


def test_what_a_pattern_finds() -> None:
    numbers = compile_pattern("[0-9]+")
    assert numbers.find("a 1, b 22, ü 333") == ["1", "22", "333"]
    assert numbers.find("a 1, b 22", 1) == ["1"]
    assert numbers.find("none") == []
    assert compile_pattern("[0-9]*").find("12 ab 3") == ["12", "", "", "", "3"]

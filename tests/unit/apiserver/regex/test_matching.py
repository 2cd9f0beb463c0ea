"""Matching: as Python's own matcher where both read a pattern alike, and in one pass whatever the pattern."""

import random
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roadstead.apiserver.regex import TooMuchWork, compile_pattern
from roadstead.apiserver.schemas.tables import definitions

ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\b", "^", r"\B"])


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


PATTERNS = st.recursive(ATOMS, _combined, max_leaves=6)


@settings(max_examples=400, deadline=None)
@given(PATTERNS, st.text("abc1 \n", max_size=8))
def test_as_python_matches(pattern: str, text: str) -> None:
    assume(text or r"\B" not in pattern)  # that an empty text has no place inside a word is Python's own opinion
    assert compile_pattern(pattern).search(text) is (re.search(pattern, text) is not None)


@settings(max_examples=300, deadline=None)
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
    begun = time.process_time()
    assert not compile_pattern(pattern).search(text)
    assert time.process_time() - begun < 2


def test_what_would_take_too_long_is_given_up() -> None:
    pattern = compile_pattern("(x|[ab]*a[ab]{900}c)$")
    with pytest.raises(TooMuchWork):
        pattern.search("".join(random.Random(1).choices("ab", k=100_000)))
    assert not pattern.search("ab")
    assert pattern.search("x")


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

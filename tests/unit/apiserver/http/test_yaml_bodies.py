"""YAML as JSON: what its types become, what it may not hold, and how far its aliases reach."""

import contextlib
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import BadRequest
from roadstead.apiserver.http.duplicates import duplicate_yaml_fields
from roadstead.apiserver.http.yaml_bodies import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 2026-01-01T00:00:00Z", {"a": "2026-01-01T00:00:00Z"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 0777", {"a": 511}),
        ("a: 1.5", {"a": 1.5}),
        ("a: yes", {"a": True}),
        ("a: ~", {"a": None}),
        ("1: x", {"1": "x"}),
        ("yes: x", {"true": "x"}),
        ("~: x", {"~": "x"}),
        ("a: !!binary aGk=", {"a": "aGk="}),
        ("a: !!set {x, y}", {"a": {"x": None, "y": None}}),
        ("a: '1'", {"a": "1"}),
        ("a: &x {k: v}\nb: *x", {"a": {"k": "v"}, "b": {"k": "v"}}),
        ("a: &x {k: v, l: w}\nb: {<<: *x, k: own}", {"a": {"k": "v", "l": "w"}, "b": {"k": "own", "l": "w"}}),
        ("b: {<<: [{k: first}, {k: second, l: w}]}", {"b": {"k": "first", "l": "w"}}),
        ("- [a, {b: c}]", [["a", {"b": "c"}]]),
    ],
)
def test_values(text: str, value: object) -> None:
    assert read_yaml(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "not YAML"),
        ("a: b\n---\nc: d", "expected a single document"),
        ("? [a]\n: b", "a key must be text"),
        ("a: .nan", "JSON has no number for .nan"),
        ("a: -.inf", "JSON has no number"),
        ("&a [*a]", "contains itself"),
        ("a: &a {b: *a}", "contains itself"),
        ("a: {<<: 5}", "map merge requires"),
        ("[" * 300 + "]" * 300, "nested too deeply"),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        read_yaml(text.encode())


@pytest.mark.parametrize("open_", ["[", "{a: ", "- "])
def test_no_depth_ends_the_process(open_: str) -> None:
    body = (open_ * 1_000_000).encode()
    with pytest.raises(BadRequest):
        read_yaml(body)
    assert duplicate_yaml_fields(body) == []


def nested(levels: int, entry: str) -> bytes:
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = [f"a: &a {entry.format('x')}"]
    lines += [f"{names[n]}: &{names[n]} {entry.format('*' + names[n - 1])}" for n in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("entry", ["[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]", "{{k: {0}, l: {0}, m: {0}}}"])
def test_aliases_of_aliases_are_written_out_only_so_far(entry: str) -> None:
    assert read_yaml(nested(4, entry))
    # Written out in full these would be millions of millions of entries: the test would not end.
    with pytest.raises(BadRequest, match="excessive aliasing"):
        read_yaml(nested(24, entry))
    assert duplicate_yaml_fields(nested(24, entry)) == []


def test_merges_of_merges_are_bounded_too() -> None:
    lines = ["a: &a {k: v}"]
    lines += [
        f"{name}: &{name} {{<<: [*{before}, *{before}]}}"
        for before, name in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)
    ]
    with pytest.raises(BadRequest, match="excessive aliasing"):
        read_yaml("\n".join(lines).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(JSON)
def test_what_is_written_as_yaml_is_read_again(value: object) -> None:
    assert read_yaml(yaml.safe_dump(value).encode()) == value


@settings(max_examples=300)
@given(st.text("ab:-[]{}&*<!|>?'\"#% \n0", max_size=30) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_as_json_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        json.dumps(read_yaml(text.encode()), allow_nan=False)

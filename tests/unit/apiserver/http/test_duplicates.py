"""Fields that come twice are found wherever they are."""

import pytest

from roadstead.apiserver.http.duplicates import duplicate_fields


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1, "b": {"c": 2}}', []),
        (b'{"a": 1, "a": 2}', ["a"]),
        (b'{"a": 1, "a": 2, "a": 3}', ["a"]),
        (b'{"spec": {"replicas": 1, "replicas": 2}}', ["spec.replicas"]),
        (b'{"spec": {"list": [{"x": 1}, {"x": 1, "x": 2}]}}', ["spec.list[1].x"]),
        (b'{"a": {"x": 1, "x": 2}, "b": 1, "b": 2}', ["b", "a.x"]),
        (b"no json", []),
        (b"[" * 100_000, []),
        (b"\xff", []),
    ],
)
def test_duplicates_are_named_by_path(body: bytes, expected: list[str]) -> None:
    assert duplicate_fields(body) == expected

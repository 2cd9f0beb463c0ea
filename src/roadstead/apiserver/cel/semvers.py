"""Semantic versions in CEL: `semver(self.version).isLessThan(semver('2.0.0'))`.

After apiserver's pkg/cel/library/semverlib.go; builds (`+build`) are no part of what is compared.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from roadstead.apiserver.cel.functions import CelError, NoOverload, expect, holds

_NUMBER = r"(0|[1-9]\d{0,19})"
_LABEL = r"(?:0|[1-9]\d{0,19}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+{_BUILD}(?:\.{_BUILD})*)?", re.ASCII
)
_MOST = 2**64
_LONGEST = 256
Label = tuple[bool, int, str]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version. One that is released is after all that are not; labels that are numbers come first."""

    numbers: tuple[int, ...]
    released: bool
    labels: tuple[Label, ...]
    text: str = field(compare=False)


def _label(text: str) -> Label:
    return (False, int(text), "") if text.isdigit() else (True, 0, text)


def _parse(text: Any, normalize: Any = False) -> Version:
    """`semver('1.2.3')`, and `semver('v1.2', true)`, which is generous. Raises CelError for a text that is none."""
    written = _normalized(expect(str, text)) if expect(bool, normalize) else expect(str, text)
    match = _VERSION.fullmatch(written) if len(written) <= _LONGEST else None
    if match is None:
        raise CelError(f"{text[:_LONGEST]!r} is no semantic version")
    *parts, before = match.groups()
    labels = tuple(_label(label) for label in before.split(".")) if before else ()
    numbers = tuple(map(int, parts))
    if max(*numbers, *(number for _, number, _ in labels)) >= _MOST:
        raise CelError(f"{text!r} is no semantic version: value out of range")
    return Version(numbers, not labels, labels, written)


def _normalized(text: str) -> str:
    """Return a version with three numbers, without leading zeros and `v`. Raises CelError if labels are too early."""
    parts = [_without_zeros(part) for part in text.removeprefix("v").split(".", 2)]
    if len(parts) < 3 and re.search(r"[-+]", parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][:3] if len(parts) < 3 else parts)


def _without_zeros(part: str) -> str:
    stripped = part.lstrip("0") if len(part) > 1 else part
    return stripped if stripped[:1].isdigit() or len(part) <= 1 else f"0{stripped}"


def _version(value: Any) -> Version:
    if not isinstance(value, Version):
        raise NoOverload
    return value


def _compare(left: Any, right: Any) -> int:
    mine, other = _version(left), _version(right)
    return (mine > other) - (mine < other)


def _number(at: int) -> Callable[[Any], int]:
    return lambda value: _version(value).numbers[at]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isSemver": holds(_parse),
    "semver": _parse,
}
METHODS: dict[str, Callable[..., Any]] = {
    "compareTo": _compare,
    "isGreaterThan": lambda left, right: _compare(left, right) > 0,
    "isLessThan": lambda left, right: _compare(left, right) < 0,
    "major": _number(0),
    "minor": _number(1),
    "patch": _number(2),
}

"""A check: what is done, what is expected, and what was seen."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class Unexpected(Exception):
    """What was seen is not what was expected; the text is what was seen."""


@dataclass(frozen=True)
class Check:
    """`run` gets the system and returns what it saw, or raises Unexpected with that."""

    title: str
    expected: str
    run: Callable[[Any], str]


@dataclass(frozen=True)
class Result:
    """How one check ended."""

    check: Check
    passed: bool
    seen: str
    seconds: float


def expect(condition: bool, seen: str) -> str:
    """Return what was seen if it is as it should be. Raises Unexpected with it otherwise."""
    if not condition:
        raise Unexpected(seen)
    return seen


def run(check: Check, system: Any) -> Result:
    """Run one check; an error of any kind is a result too, so that the checks after it still run."""
    begun = time.monotonic()
    try:
        passed, seen = True, check.run(system)
    except Unexpected as error:
        passed, seen = False, str(error)
    except Exception as error:  # noqa: BLE001 (whatever a call raises is what was seen)
        passed, seen = False, f"{type(error).__name__}: {error}"
    return Result(check, passed, " ".join(seen.split()), time.monotonic() - begun)


def line(result: Result) -> str:
    """Return a result as two lines for people: what was done, and what was expected and seen."""
    sign = "\x1b[32m✓\x1b[0m" if result.passed else "\x1b[31m✗\x1b[0m"
    return f"  {sign} {result.check.title}\n      expected: {result.check.expected}. Seen: {result.seen}"


def summary(results: Iterable[Result]) -> str:
    """Return the last line: how many checks ended as expected."""
    listed = list(results)
    failed = [result for result in listed if not result.passed]
    if not failed:
        return f"\x1b[1;32mAll {len(listed)} checks were as expected.\x1b[0m"
    return f"\x1b[1;31m{len(failed)} of {len(listed)} checks were not as expected.\x1b[0m"

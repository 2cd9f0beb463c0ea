"""The small JSONPath that printer columns and scale subresources of CRDs are written in.

Names, `[*]`, `[N]`, `['name']` and filters such as `[?(@.type=="Ready")]`; a dot inside a name is escaped (`a\\.b`).
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""(?P<every>\[\*\]|\.\*)
      | \.?(?P<name>(?:\\.|[^.\[\]\\])+)
      | \[\s*'(?P<quoted>[^']*)'\s*\] | \[\s*"(?P<double>[^"]*)"\s*\]
      | \[(?P<index>-?\d+)\]
      | \[\?\(\s*@(?P<path>[^=!<>\s]*)\s*(?:(?P<operator>==|!=)\s*(?P<value>.+?)\s*)?\)\]""",
    re.VERBOSE,
)
Step = Callable[[Any], Iterable[Any]]


def find(path: str, value: Any) -> list[Any]:
    """Return everything that a path finds in a value; nothing for a path that cannot be read."""
    found = [value]
    for step in _compile(path):
        found = [inner for outer in found for inner in step(outer)]
    return found


@lru_cache(1024)
def _compile(path: str) -> tuple[Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return (lambda value: (),)
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["every"]:
        return _every
    if match["index"]:
        return _at(int(match["index"]))
    if match["path"] is not None:
        return _filter(match["path"], match["operator"], match["value"])
    name = match["quoted"] or match["double"] or re.sub(r"\\(.)", r"\1", match["name"] or "")
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _every(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _at(index: int) -> Step:
    return lambda value: value[index : index + 1 or None] if isinstance(value, list) else ()


def _filter(path: str, operator: str | None, literal: str | None) -> Step:
    wanted = _literal(literal or "")

    def holds(entry: Any) -> bool:
        found = find(path, entry)
        if operator is None:
            return bool(found)
        return (bool(found) and found[0] == wanted) is (operator == "==")

    return lambda value: [entry for entry in value if holds(entry)] if isinstance(value, list) else ()


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text

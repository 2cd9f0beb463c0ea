"""Names and values of headers, and the conditions on them that GRPCRoute and HTTPRoute share.

Envoy refuses a whole route table over one header that HTTP does not allow, so they are judged here first.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from roadstead.gateway.ir import ValueMatch
from roadstead.gateway.translate.expressions import expression_problem
from roadstead.gateway.translate.fields import text
from roadstead.gateway.translate.problem import Problem

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def is_header_name(name: str) -> bool:
    """Say whether this is a header name (RFC 9110, token); pseudo-headers such as `:path` are not."""
    return _NAME.fullmatch(name) is not None


def is_header_value(value: str) -> bool:
    """Say whether a header may have this value."""
    return _CONTROL.search(value) is None


def value_matches(
    entries: Sequence[Mapping[str, Any]], path: str, *, fold_case: bool
) -> tuple[ValueMatch, ...] | Problem:
    """Read header or query parameter matches found at `path`; of equal names the first one counts.

    `fold_case`: names are those of headers, equal whatever their case.
    """
    found: dict[str, ValueMatch] = {}
    for index, entry in enumerate(entries):
        match = _value_match(entry, f"{path}[{index}]", fold_case=fold_case)
        if isinstance(match, Problem):
            return match
        found.setdefault(match.name, match)
    return tuple(found.values())


def _value_match(entry: Mapping[str, Any], path: str, *, fold_case: bool) -> ValueMatch | Problem:
    kind, value = text(entry.get("type"), "Exact"), text(entry.get("value"))
    name = text(entry.get("name"))
    if fold_case and not is_header_name(name):
        return Problem("UnsupportedValue", f"{path}.name: {name!r} is not the name of a header")
    if not name or not is_header_value(value):
        return Problem("UnsupportedValue", f"{path}: a name is missing, or the value holds control characters")
    if kind == "Exact":
        return ValueMatch(name.lower() if fold_case else name, "exact", value)
    if kind != "RegularExpression":
        return Problem("UnsupportedValue", f"{path}.type: {kind} is not one of Exact, RegularExpression")
    wrong = expression_problem(value)
    if wrong:
        return Problem("UnsupportedValue", f"{path}.value: {value!r} {wrong}")
    return ValueMatch(name.lower() if fold_case else name, "regex", value)

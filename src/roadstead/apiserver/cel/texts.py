"""Functions of texts that rules and their messages use: `'%s: %d'.format([name, count])`, `find`, `charAt`.

After cel-go's ext/strings.go and ext/formatting.go, and Kubernetes' pkg/cel/library/regex.go.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from roadstead.apiserver.cel.functions import CelError, NoOverload
from roadstead.lib.patterns import PatternError, compile_pattern

_VERB = re.compile(r"%(?:\.(\d{1,4}))?(.)", re.DOTALL)
_DEFAULT_PRECISION, _MOST_PRECISION = 6, 100


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NoOverload
    return value


def _character_at(text: Any, index: Any) -> str:
    if not isinstance(index, int) or isinstance(index, bool):
        raise NoOverload
    if not 0 <= index <= len(_text(text)):
        raise CelError(f"index out of range: {index}")
    return str(text[index : index + 1])


def _find(text: Any, pattern: Any) -> str:
    return next(iter(_found(text, pattern, 1)), "")


def _find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    return _found(text, pattern, limit)


def _found(text: Any, pattern: Any, limit: int) -> list[str]:
    try:
        return compile_pattern(_text(pattern)).find(_text(text), None if limit < 0 else limit)
    except PatternError as error:
        raise CelError(str(error)) from error


def _reverse(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise NoOverload
    return value[::-1]


def _format(template: Any, arguments: Any) -> str:
    """Put arguments in the places of a template's verbs. Raises CelError for what does not fit."""
    if not isinstance(arguments, list):
        raise NoOverload
    left = iter(arguments)

    def put(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        printed = _VERBS.get(verb[2])
        if printed is None:
            raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb[2]}"')
        precision = int(verb[1]) if verb[1] else _DEFAULT_PRECISION
        if precision > _MOST_PRECISION:
            raise CelError(f"precision {precision} exceeds maximum allowed precision {_MOST_PRECISION}")
        try:
            return printed(next(left), precision)
        except StopIteration:
            raise CelError("index out of range: more verbs than arguments") from None

    return _VERB.sub(put, _text(template))


def _string(value: Any, _: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(_string(entry, 0) for entry in value)}]"
    if isinstance(value, dict):
        entries = sorted((_string(key, 0), _string(entry, 0)) for key, entry in value.items())
        return f"{{{', '.join(f'{key}: {entry}' for key, entry in entries)}}}"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    raise NoOverload


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NoOverload
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise NoOverload
    return float(value)


def _hexadecimal(value: Any, _: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value).hex()
    return f"{_integer(value):x}"


_VERBS: dict[str, Callable[[Any, int], str]] = {
    "b": lambda value, _: str(int(value)) if isinstance(value, bool) else f"{_integer(value):b}",
    "d": lambda value, _: str(_integer(value)),
    "e": lambda value, precision: f"{_number(value):.{precision}e}",
    "f": lambda value, precision: f"{_number(value):.{precision}f}",
    "o": lambda value, _: f"{_integer(value):o}",
    "s": _string,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}

METHODS: dict[str, Callable[..., Any]] = {
    "charAt": _character_at,
    "find": _find,
    "findAll": _find_all,
    "format": _format,
    "reverse": _reverse,
}

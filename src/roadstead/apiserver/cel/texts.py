"""Functions of texts that rules and their messages use: `'%s: %d'.format([name, count])`, `find`, `charAt`.

After cel-go's ext/strings.go and ext/formatting.go, which prints floating-point numbers in English (`1,234.5`,
`1.5×10⁰³`), and Kubernetes' pkg/cel/library/regex.go.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from roadstead.apiserver.cel.conversions import to_string
from roadstead.apiserver.cel.functions import CelError, NoOverload, expect, is_integer
from roadstead.apiserver.cel.kinds import Kind
from roadstead.apiserver.cel.times import duration_text, timestamp_text
from roadstead.lib.patterns import PatternError, compile_pattern

_VERB = re.compile(r"%(?:\.(\d*))?(.?)", re.DOTALL | re.ASCII)
_DEFAULT_PRECISION, _MOST_PRECISION = 6, 100


def _character_at(text: Any, index: Any) -> str:
    if not is_integer(index):
        raise NoOverload
    if not 0 <= index <= len(expect(str, text)):
        raise CelError(f"index out of range: {index}")
    return str(text[index : index + 1])


def _find(text: Any, pattern: Any) -> str:
    return next(iter(_find_all(text, pattern, 1)), "")


def _find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    try:
        return compile_pattern(expect(str, pattern)).find(expect(str, text), None if limit < 0 else limit)
    except PatternError as error:
        raise CelError(str(error)) from error


_ESCAPES = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
})  # fmt: skip


def _quote(text: Any) -> str:
    return f'"{expect(str, text).translate(_ESCAPES)}"'


def _quoted(text: str) -> str:
    """Return a text in quotes, in which nothing is invisible."""
    escaped = text.translate(_ESCAPES)
    return f'"{escaped if escaped.isprintable() else "".join(map(_visible, escaped))}"'


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _format(template: Any, arguments: Any) -> str:
    """Put arguments in the places of a template's verbs. Raises CelError for what does not fit."""
    left: Iterator[Any] = iter(expect(list, arguments))

    def put(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        printed = _VERBS.get(verb[2])
        if printed is None:
            raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb[2]}"')
        try:
            return printed(next(left), _precision(verb[1]))
        except StopIteration:
            raise CelError("index out of range: more verbs than arguments") from None

    return _VERB.sub(put, expect(str, template))


def _precision(digits: str | None) -> int | None:
    """Return the precision that a verb asks for. Nobody means more than a hundred digits, which would cost."""
    if digits is None:
        return None
    if not digits or len(digits) > 3 or int(digits) > _MOST_PRECISION:
        raise CelError(f"precision {digits[:4]} is none, or exceeds maximum allowed precision {_MOST_PRECISION}")
    return int(digits)


def _string(value: Any, _: int | None = None) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        entries = sorted((_key(key), _literal(entry)) for key, entry in value.items())
        return f"{{{', '.join(f'{key}:{entry}' for key, entry in entries)}}}"
    if value is None:
        return "null"
    return value.name if isinstance(value, Kind) else to_string(value)


def _literal(value: Any) -> str:
    """Return a value as it is shown in a list or a map: as CEL would have it."""
    if isinstance(value, str | bytes):
        return f"{'b' if isinstance(value, bytes) else ''}{_quoted(to_string(value))}"
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else f'"{to_string(value)}"'
    if isinstance(value, datetime):
        return f'timestamp("{timestamp_text(value)}")'
    if isinstance(value, timedelta):
        return f'duration("{duration_text(value)}")'
    return _string(value)


def _key(key: Any) -> str:
    return _literal(expect(str, key)) if isinstance(key, str) else to_string(_of_type((bool, int), key))


def _of_type(kind: tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind):
        raise NoOverload
    return value


def _integer(value: Any) -> int:
    return int(expect(int, value))


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _floating(value: Any) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    return float(expect((int, float), value)) + 0.0  # of zeros, there is only one


def _fixed(value: Any, precision: int | None) -> str:
    found = _floating(value)
    return (
        f"{found:,.{_DEFAULT_PRECISION if precision is None else precision}f}" if math.isfinite(found) else _name(found)
    )


_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "+")


def _scientific(value: Any, width: int | None) -> str:
    # What precision is for other verbs, is width for this one, in cel-go as in what it prints.
    found = _floating(value)
    if not math.isfinite(found):
        return _name(found).rjust(_DEFAULT_PRECISION if width is None else width)
    mantissa, _, exponent = f"{found:.{_DEFAULT_PRECISION}e}".partition("e")
    return f"{mantissa}×10{exponent.translate(_SUPERSCRIPT)}".rjust(width or 0)


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _hexadecimal(value: Any, _: int | None) -> str:
    if isinstance(value, str | bytes):
        return (value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value).hex()
    return f"{_integer(value):x}"


_VERBS: dict[str, Callable[[Any, int | None], str]] = {
    "b": lambda value, _: str(int(value)) if isinstance(value, bool) else f"{_integer(value):b}",
    "d": lambda value, _: str(_integer(value)),
    "e": _scientific,
    "f": _fixed,
    "o": lambda value, _: f"{_integer(value):o}",
    "s": _string,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}

FUNCTIONS: dict[str, Callable[..., Any]] = {"strings.quote": _quote}
METHODS: dict[str, Callable[..., Any]] = {
    "charAt": _character_at,
    "find": _find,
    "findAll": _find_all,
    "format": _format,
    "reverse": lambda text: expect(str, text)[::-1],
}

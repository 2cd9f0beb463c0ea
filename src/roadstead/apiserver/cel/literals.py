"""The literals of CEL: numbers, texts and bytes, as they are written (cel-go's parser/unescape.go)."""

import re
from collections.abc import Callable

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_PLAIN = dict(zip("abfnrtv\\'\"`?", "\a\b\f\n\r\t\v\\'\"`?", strict=True))
_LARGEST_INTEGER, _LARGEST_UNSIGNED = 2**63, 2**64 - 1


def number(text: str) -> int | float:
    """Return the number that a literal stands for. Raises ValueError for one that CEL does not have."""
    digits = text.rstrip("uU")
    if not digits.startswith("0x") and re.search("[.eE]", digits):
        return float(digits)
    value = int(digits, 16 if digits.startswith("0x") else 10)
    # The smallest integer is the largest and one more, behind a minus.
    if value > (_LARGEST_INTEGER if digits == text else _LARGEST_UNSIGNED):
        raise ValueError(f"invalid int literal {text}")
    return value


def string(text: str) -> str | bytes:
    """Return the text that a literal stands for, or bytes (`b'...'`). Raises ValueError for what is none."""
    flags = text[: min(text.index(quote) for quote in "'\"" if quote in text)].lower()
    quotes = 3 if text[len(flags) :].startswith(("'''", '"""')) else 1
    body = text[len(flags) + quotes : -quotes]
    if "b" in flags:
        return body.encode() if "r" in flags else _bytes(body)
    if "r" in flags:
        return body
    found = _unescaped(body, _character)
    found.encode()  # halves of characters are none
    return found


def _unescaped(body: str, meaning: Callable[[str], str]) -> str:
    return _ESCAPE.sub(lambda match: _PLAIN[match[1]] if match[1] in _PLAIN else meaning(match[1]), body)


def _character(escape: str) -> str:
    if len(escape) == 1:
        raise ValueError(f"unable to unescape \\{escape}")
    return chr(int(escape, 8) if escape[0] in "0123" else int(escape[1:], 16))


def _bytes(body: str) -> bytes:
    """Return bytes; their escapes are bytes too, not characters, whose own bytes are kept apart meanwhile."""

    def byte(escape: str) -> str:
        if escape[0] in "uU":
            raise ValueError("unable to unescape a character in bytes")
        return _character(escape)

    return _unescaped(body.encode().decode("latin-1"), byte).encode("latin-1")

"""Quantities: `500m` of a CPU, `64Mi` of memory (apimachinery's pkg/api/resource/quantity.go)."""

import re
from decimal import ROUND_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple

_SYNTAX: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_LARGEST: Final = Decimal(2**63 - 1)
_SMALLEST: Final = Decimal("1e-9")

MALFORMED: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
"""What Kubernetes answers to a text that is no quantity."""


_LONGEST: Final = 256
"""Longer texts are no quantities that anybody means, and would fill what is remembered."""


def parse_quantity(text: str) -> Decimal:
    """Return the number that a quantity stands for. Raises ValueError for a text that is none."""
    if len(text) > _LONGEST:
        raise ValueError(MALFORMED)
    return _parsed(text)


@lru_cache(4096)
def _parsed(text: str) -> Decimal:
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(MALFORMED)
    suffix = match[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        if len(suffix) > 4:
            raise ValueError(MALFORMED)
        return _bounded(Decimal(match[1]).scaleb(int(suffix[1:])))
    if suffix in _BINARY:
        return _bounded(Decimal(match[1]) * 1024 ** _BINARY[suffix])
    return _bounded(Decimal(match[1]).scaleb(_DECIMAL[suffix]))


def _bounded(number: Decimal) -> Decimal:
    """Cap a number and round it up to what a quantity can hold."""
    number = max(min(number, _LARGEST), -_LARGEST)
    try:
        return number.quantize(_SMALLEST, rounding=ROUND_UP)
    except InvalidOperation:
        return number


def canonical_quantity(text: str) -> str:
    """Return a quantity as the API server stores it: `1000m` is `1`, `1024Mi` is `1Gi`. Raises ValueError."""
    if len(text) > _LONGEST:
        raise ValueError(MALFORMED)
    return _canonical(text)


@lru_cache(4096)
def _canonical(text: str) -> str:
    number = _parsed(text)
    match = _SYNTAX.fullmatch(text)
    suffix = (match[2] if match else "") or ""
    if suffix in _BINARY and abs(number) >= 1024 and number == number.to_integral_value():
        return _binary(int(number))
    exponent = suffix[:1] in ("e", "E") and len(suffix) > 1
    return _decimal(number, exponent=exponent)


class Quantity(NamedTuple):
    """A quantity to reckon with: the number, and how it was written, which sums and differences keep.

    It prints as Kubernetes prints what it has reckoned: 128Mi and 128Mi are 256Mi, 0 and 500m are 500m.
    """

    number: Decimal
    binary: bool = False

    @classmethod
    def of(cls, text: str) -> "Quantity":
        """Read a quantity. Raises ValueError for a text that is none."""
        return cls(parse_quantity(text), text.strip().endswith("i"))

    def plus(self, other: "Quantity") -> "Quantity":
        """Return the sum, written as the first that is not nothing."""
        return Quantity(self.number + other.number, self.binary if self.number else other.binary)

    def minus(self, other: "Quantity") -> "Quantity":
        """Return the difference, written as the first that is not nothing."""
        return Quantity(self.number - other.number, self.binary if self.number else other.binary)

    def __str__(self) -> str:
        if self.binary and abs(self.number) >= 1024 and self.number == self.number.to_integral_value():
            return _binary(int(self.number))
        return _decimal(self.number, exponent=False)


def _binary(number: int) -> str:
    power = 0
    while number % 1024 == 0 and power < len(_BINARY):
        number //= 1024
        power += 1
    return f"{number}{next((name for name, size in _BINARY.items() if size == power), '')}"


def _decimal(number: Decimal, *, exponent: bool) -> str:
    if not number:
        return "0"
    for name, size in sorted(_DECIMAL.items(), key=lambda entry: -entry[1]):
        scaled = number.scaleb(-size)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{f'e{size}' if size else ''}" if exponent else f"{int(scaled)}{name}"
    return f"{int(number.scaleb(9).to_integral_value(ROUND_UP))}n"

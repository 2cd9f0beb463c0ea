"""What a field of a request can be: a condition of a policy that compares it with something else never holds.

The comparison itself is `roadstead.service.conditions`; here is what it can be true of, by the field's type.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import TypeGuard

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from roadstead.cluster.descriptors import Values
from roadstead.service.conditions import IDENTITY, Scalar

_MOST_NAMES = 12
_T = FieldDescriptorProto
_BITS = {
    **dict.fromkeys((_T.TYPE_INT32, _T.TYPE_SINT32, _T.TYPE_SFIXED32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((_T.TYPE_INT64, _T.TYPE_SINT64, _T.TYPE_SFIXED64), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((_T.TYPE_UINT32, _T.TYPE_FIXED32), (0, 2**32 - 1)),
    **dict.fromkeys((_T.TYPE_UINT64, _T.TYPE_FIXED64), (0, 2**64 - 1)),
}


def impossible(field: FieldDescriptorProto, value: Scalar, enumerations: Mapping[str, Values]) -> str:
    """Return what a field is if it never equals the value (`true or false`); "" if it may, or if that is not known.

    `enumerations` are those that are known, by full name.
    """
    if field.type == _T.TYPE_ENUM:
        values = enumerations.get(field.type_name.removeprefix("."))
        return "" if values is None or value == IDENTITY or _is_named(value, values) else _names(values)
    if field.type in _BITS:
        least, most = _BITS[field.type]
        fits = _is_number(value) and least <= value <= most and value == int(value)
        return "" if fits else f"a whole number from {least} to {most}"
    fits_type, said = _OTHERS.get(field.type, (_anything, ""))
    return "" if fits_type(value) else said


def written(value: Scalar) -> str:
    """Return a value as somebody writes it into a policy, with quotes around texts."""
    return json.dumps(value, ensure_ascii=False)


def _is_named(value: Scalar, values: Values) -> bool:
    return value in values if isinstance(value, str) else _is_number(value) and value in values.values()


def _names(values: Values) -> str:
    names = [f"{name} ({number})" for name, number in values.items()]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"one of {', '.join(names[:_MOST_NAMES])}{more}"


def _is_number(value: Scalar) -> TypeGuard[float]:
    # A bool is an int in Python, and none of the numbers that a request has.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_double(value: Scalar) -> bool:
    return _is_number(value) and _survives(value, "d")


def _is_float(value: Scalar) -> bool:
    return _is_number(value) and _survives(value, "f")


def _survives(value: Scalar, form: str) -> bool:
    """Tell whether a number is the same after it was packed: 0.1 of 32 bits is not 0.1, and nan equals nothing."""
    try:
        return bool(struct.unpack(form, struct.pack(form, value))[0] == value)
    except (OverflowError, struct.error):
        return False


def _anything(_value: Scalar) -> bool:
    return True


_OTHERS: Mapping[int, tuple[Callable[[Scalar], bool], str]] = {
    _T.TYPE_STRING: (lambda value: isinstance(value, str), "a text; put it in quotes"),
    _T.TYPE_BOOL: (lambda value: isinstance(value, bool), "true or false"),
    _T.TYPE_DOUBLE: (_is_double, "a number of 64 bits"),
    _T.TYPE_FLOAT: (_is_float, "a number of 32 bits, which has seven digits: few decimal fractions are one exactly"),
}

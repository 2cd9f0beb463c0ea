"""Reading fields of objects that perhaps no schema has checked: a field of the wrong type reads as absent.

A translation that indexed into user input would raise on it sooner or later; one that reads through these cannot.
"""

from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the JSON objects in an array."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def text(value: Any, default: str = "") -> str:
    """Return a string, or the default."""
    return value if isinstance(value, str) else default


def texts(value: Any) -> list[str]:
    """Return the strings in an array."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text_map(value: Any) -> dict[str, str]:
    """Return the entries of a JSON object whose values are strings."""
    return {key: item for key, item in mapping(value).items() if isinstance(item, str)}


def integer(value: Any, default: int = 0) -> int:
    """Return a whole number, or the default; `true` is no number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def spec_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `spec`."""
    return mapping(obj.get("spec"))

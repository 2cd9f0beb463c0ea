"""When a rule holds: what the metadata or the request must say besides the method's name. Pure.

A condition compares texts, numbers and truth values that somebody wrote into a policy with what a call carries;
`{identity}` stands for the caller's name. What is not there, is there in several versions, or is of another type than
the one that was written, does not match: a rule grants only what it can see.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from roadstead.service.identity import Identity

Scalar = str | int | float | bool
IDENTITY = "{identity}"
# Each name with the values of which one must be there.
Wanted = tuple[tuple[str, tuple[Scalar, ...]], ...]


class Condition(msgspec.Struct, frozen=True):
    """What metadata and request must say; an empty condition always holds."""

    metadata: Wanted = ()
    request: Wanted = ()


def metadata_matches(
    condition: Condition, identity: Identity, metadata: Iterable[tuple[str, str | bytes]]
) -> str | None:
    """Return None if the metadata is as wanted, else what it should be. Every value of a key must be a wanted one."""
    pairs = tuple(metadata)
    for name, wanted in condition.metadata:
        found = [value for key, value in pairs if key == name]
        accepted = _resolved(wanted, identity)
        if not found or any(value not in accepted for value in found):
            return f"metadata {_said(name, accepted)}"
    return None


def request_matches(condition: Condition, identity: Identity, request: Any) -> str | None:
    """Return None if the request is as wanted, else what it should be. A request is a message, or a dict of one."""
    for path, wanted in condition.request:
        accepted = _resolved(wanted, identity)
        if not any(_equal(value, each) for value in _values(request, path) for each in accepted):
            return f"request {_said(path, accepted)}"
    return None


def describe(condition: Condition, identity: Identity) -> str:
    """Return what the request must say, in words."""
    return " and ".join(_said(path, _resolved(wanted, identity)) for path, wanted in condition.request)


def _resolved(wanted: tuple[Scalar, ...], identity: Identity) -> tuple[Scalar, ...]:
    return tuple(identity.name if value == IDENTITY else value for value in wanted)


def _said(name: str, accepted: tuple[Scalar, ...]) -> str:
    return f"{name} is {' or '.join(map(repr, accepted))}"


def _values(request: Any, path: str) -> tuple[Any, ...]:
    """Return what stands at a path: nothing, one value, or for an enumeration its number and its name."""
    message = request
    *parents, last = path.split(".")
    for name in parents:
        message = _field(message, name)
    value = _field(message, last)
    return () if value is None else (value, *_enumeration_name(message, last, value))


def _field(message: Any, name: str) -> Any:
    if isinstance(message, dict):
        return message.get(name)
    # By descriptor, not by getattr alone: a message's methods are no fields. Maps and repeated fields match nothing.
    fields = getattr(getattr(message, "DESCRIPTOR", None), "fields_by_name", {})
    return getattr(message, name) if name in fields else None


def _enumeration_name(message: Any, name: str, value: Any) -> tuple[str, ...]:
    if isinstance(message, dict):
        return ()
    kind = message.DESCRIPTOR.fields_by_name[name].enum_type
    known = kind.values_by_number.get(value) if kind is not None and isinstance(value, int) else None
    return (known.name,) if known is not None else ()


def _equal(value: Any, wanted: Scalar) -> bool:
    # True is 1 in Python, and must not be in a policy.
    return isinstance(value, bool) is isinstance(wanted, bool) and value == wanted

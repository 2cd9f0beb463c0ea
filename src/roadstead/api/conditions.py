"""Conditions: how every kind says what is true of it, since when, and why (KEP-1623).

`lastTransitionTime` moves only when `status` changes, so writing the same condition twice is no change at all.
"""

from collections.abc import Iterable, Sequence

from roadstead.api.objects import Object


def condition(
    type_: str, status: bool | str, reason: str, message: str = "", *, generation: int | None = None
) -> Object:
    """Return a condition without its transition time; `status` is a bool or `"Unknown"`."""
    word = status if isinstance(status, str) else str(status)
    made: Object = {"type": type_, "status": word, "reason": reason, "message": message}
    if generation is not None:
        made["observedGeneration"] = generation
    return made


def merge_conditions(current: Sequence[Object], wanted: Iterable[Object], now: str) -> list[Object]:
    """Return `current` with each wanted condition put in its place; others stay untouched and in order.

    `now` (RFC 3339) becomes the transition time of conditions that are new or whose `status` changed.
    """
    merged = {existing["type"]: existing for existing in current}
    for wish in wanted:
        before = merged.get(wish["type"])
        unchanged = before is not None and before.get("status") == wish["status"]
        since = before.get("lastTransitionTime", now) if before is not None and unchanged else now
        merged[wish["type"]] = {**wish, "lastTransitionTime": since}
    return list(merged.values())


def find_condition(conditions: Iterable[Object] | None, type_: str) -> Object | None:
    """Return the condition of this type, or None."""
    return next((entry for entry in conditions or () if entry.get("type") == type_), None)


def is_true(conditions: Iterable[Object] | None, type_: str) -> bool:
    """Say whether the condition of this type is there and `True`."""
    found = find_condition(conditions, type_)
    return found is not None and found.get("status") == "True"

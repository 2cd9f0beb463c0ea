"""What cells have in common: ages, labels, selectors, containers, lists that are cut short."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from roadstead.api.objects import ReadOnlyObject, metadata_of

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"

Cells = list[Any]
PrintCells = Callable[[ReadOnlyObject, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its JSON type, and whether it shows with `-o wide` only."""

    name: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind and the function that makes an object's cells, one per column."""

    columns: tuple[Column, ...]
    cells: PrintCells


def columns(narrow: Sequence[str], wide: Sequence[str] = (), *, integers: Iterable[str] = ()) -> tuple[Column, ...]:
    """Return columns from their headings; those named in `integers` hold numbers."""
    numbers = set(integers)
    return tuple(
        Column(name, "integer" if name in numbers else "string", index >= len(narrow))
        for index, name in enumerate((*narrow, *wide))
    )


@lru_cache(8192)
def moment(timestamp: str) -> datetime | None:
    """Return the moment that an RFC 3339 text means, None for any other text."""
    try:
        parsed = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def since(timestamp: Any, now: datetime) -> str:
    """Return how long ago a timestamp was, for people: `5m3s`; `<unknown>` if there is none."""
    if not timestamp:
        return UNKNOWN
    then = moment(timestamp) if isinstance(timestamp, str) else None
    return "<invalid>" if then is None else human_duration((now - then).total_seconds())


def age(obj: ReadOnlyObject, now: datetime) -> str:
    """Return how long ago an object was created."""
    return since(metadata_of(obj).get("creationTimestamp"), now)


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


def human_duration(seconds: float) -> str:
    """Return a duration in at most two units, coarser the longer it is (apimachinery's duration.HumanDuration)."""
    if seconds <= -2:
        return "<invalid>"
    whole = max(0, int(seconds))
    for limit, unit, letter, lower, lower_letter in _STEPS:
        if whole < limit:
            rest = whole % unit // lower if lower else 0
            return f"{whole // unit}{letter}" + (f"{rest}{lower_letter}" if rest else "")
    return f"{whole // _YEAR}y"


# Up to this many seconds: in this unit, and what is left in that smaller one (0: not at all).
_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Return labels as `a=1,b=2`, `<none>` if there are none."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: ReadOnlyObject | None) -> str:
    """Return a label selector as people write it, `<none>` for one that selects everything or is not there."""
    selector = selector or {}
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    terms += [(term.get("key", ""), _term(term)) for term in selector.get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(terms)) or NONE


def _term(term: ReadOnlyObject) -> str:
    key, operator = term.get("key", ""), term.get("operator", "")
    if operator in ("Exists", "DoesNotExist"):
        return key if operator == "Exists" else f"!{key}"
    return f"{key} {operator.lower()} ({','.join(sorted(term.get('values') or ()))})"


def template_of(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Return the pod template of a workload, empty if it has none."""
    template: ReadOnlyObject = (obj.get("spec") or {}).get("template") or {}
    return template


def containers_and_images(template: ReadOnlyObject) -> tuple[str, str]:
    """Return the names and the images of a template's containers, comma-separated."""
    containers = (template.get("spec") or {}).get("containers") or ()
    names = ",".join(container.get("name", "") for container in containers)
    return names, ",".join(container.get("image", "") for container in containers)


def shortened(entries: Sequence[str], limit: int = 3, separator: str = ",") -> str:
    """Return the first entries and how many more there are."""
    text = separator.join(entries[:limit])
    return f"{text} + {len(entries) - limit} more..." if len(entries) > limit else text


def spec_of(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Return `spec`, empty if the object has none."""
    return obj.get("spec") or {}


def status_of(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Return `status`, empty if the object has none."""
    return obj.get("status") or {}

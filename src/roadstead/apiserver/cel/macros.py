"""Macros: expressions that are evaluated for every entry of a list or a map (`self.ports.all(p, p.port > 0)`).

Those of the language, `sortBy` of cel-go's ext/lists.go, and those with two variables of its ext/comprehensions.go:
index and entry of a list, key and value of a map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roadstead.apiserver.cel.budget import Budget, sorting_cost
from roadstead.apiserver.cel.functions import CelError, NoOverload
from roadstead.apiserver.cel.lists import sort_by
from roadstead.apiserver.cel.operators import truth

Entry = tuple[Any, ...]
"""What the variables of a macro are, in one turn."""
Each = Callable[[Entry], Any]
Run = Callable[[list[Entry], Each, Budget], Any]


@dataclass(frozen=True, slots=True)
class Macro:
    """How a macro is called and what it does: `filtered` says that one more expression says which entries count."""

    variables: int
    run: Run
    filtered: bool = False


def _all(entries: list[Entry], each: Each, budget: Budget) -> bool:
    """Say whether a predicate holds for all; an error counts only if none is false."""
    return not _exists(entries, lambda entry: not truth(each(entry)), budget)


def _exists(entries: list[Entry], each: Each, _: Budget) -> bool:
    failure: CelError | TypeError | None = None
    for entry in entries:
        try:
            if truth(each(entry)):
                return True
        except (CelError, TypeError) as error:
            failure = error
    if failure is not None:
        raise failure
    return False


def _exists_one(entries: list[Entry], each: Each, _: Budget) -> bool:
    return sum(truth(each(entry)) for entry in entries) == 1


def _filter(entries: list[Entry], each: Each, _: Budget) -> list[Any]:
    return [entry[-1] for entry in entries if truth(each(entry))]


def _transform(entries: list[Entry], each: Each, _: Budget) -> list[Any]:
    return [each(entry) for entry in entries]


def _transform_map(entries: list[Entry], each: Each, _: Budget) -> dict[Any, Any]:
    return {entry[0]: each(entry) for entry in entries}


def _transform_entries(entries: list[Entry], each: Each, _: Budget) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for entry in entries:
        found = each(entry)
        if not isinstance(found, dict):
            raise NoOverload
        if made.keys() & found.keys():
            raise CelError("insert failed: a key already exists")
        made |= found
    return made


def _sort_by(entries: list[Entry], each: Each, budget: Budget) -> list[Any]:
    keys = [each(entry) for entry in entries]
    budget.charge(sorting_cost(keys))
    return sort_by([entry[-1] for entry in entries], keys)


MACROS: dict[tuple[str, int], Macro] = {
    ("all", 2): Macro(1, _all),
    ("all", 3): Macro(2, _all),
    ("exists", 2): Macro(1, _exists),
    ("exists", 3): Macro(2, _exists),
    ("existsOne", 3): Macro(2, _exists_one),
    ("exists_one", 2): Macro(1, _exists_one),
    ("exists_one", 3): Macro(2, _exists_one),
    ("filter", 2): Macro(1, _filter),
    ("map", 2): Macro(1, _transform),
    ("map", 3): Macro(1, _transform, filtered=True),
    ("sortBy", 2): Macro(1, _sort_by),
    ("transformList", 3): Macro(2, _transform),
    ("transformList", 4): Macro(2, _transform, filtered=True),
    ("transformMap", 3): Macro(2, _transform_map),
    ("transformMap", 4): Macro(2, _transform_map, filtered=True),
    ("transformMapEntry", 3): Macro(2, _transform_entries),
    ("transformMapEntry", 4): Macro(2, _transform_entries, filtered=True),
}
"""The macros, by their names and how many arguments they take."""
NAMES = frozenset(name for name, _ in MACROS)


def entries_of(container: Any, variables: int) -> list[Entry]:
    """Return what the variables of a macro are, turn by turn. Raises NoOverload for what has no entries."""
    if not isinstance(container, list | dict):
        raise NoOverload
    if variables == 1:
        return [(entry,) for entry in container]
    return list(container.items() if isinstance(container, dict) else enumerate(container))

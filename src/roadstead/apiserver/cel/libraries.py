"""All functions and methods that expressions may call, in one table each, put together once.

A method that several types have is that of the first whose types fit. Functions of a library are found by their full
name, such as `sets.contains`.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from roadstead.apiserver.cel import (
    addresses,
    authorizer,
    conversions,
    formats,
    functions,
    kinds,
    lists,
    optionals,
    semvers,
    sets,
    texts,
    times,
    urls,
)
from roadstead.apiserver.cel.functions import NoOverload

Function = Callable[..., Any]


def _first_that_fits(overloads: tuple[Function, ...]) -> Function:
    if len(overloads) == 1:
        return overloads[0]

    def apply(*arguments: Any) -> Any:
        for overload in overloads:
            try:
                return overload(*arguments)
            except (NoOverload, TypeError):
                continue
        raise NoOverload

    return apply


def _merged(*tables: dict[str, Function]) -> dict[str, Function]:
    found: dict[str, tuple[Function, ...]] = defaultdict(tuple)
    for table in tables:
        for name, function in table.items():
            found[name] += (function,)
    return {name: _first_that_fits(overloads) for name, overloads in found.items()}


FUNCTIONS = _merged(
    addresses.FUNCTIONS,
    conversions.FUNCTIONS,
    functions.FUNCTIONS,
    kinds.FUNCTIONS,
    lists.FUNCTIONS,
    optionals.FUNCTIONS,
    semvers.FUNCTIONS,
    sets.FUNCTIONS,
    texts.FUNCTIONS,
    urls.FUNCTIONS,
)
METHODS = _merged(
    functions.METHODS,
    addresses.METHODS,
    authorizer.METHODS,
    formats.METHODS,
    lists.METHODS,
    optionals.METHODS,
    semvers.METHODS,
    texts.METHODS,
    times.METHODS,
    urls.METHODS,
)

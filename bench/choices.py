"""Options of benchmarks that name some of several things."""

import argparse
from collections.abc import Callable, Iterable


def some_of(names: Iterable[str], separator: str) -> Callable[[str], list[str]]:
    """Return what argparse makes the option's value with: those that are named, in the order of `names`.

    It raises ArgumentTypeError that lists the names there are.
    """
    known = list(names)

    def parse(text: str) -> list[str]:
        wanted = [part.strip() for part in text.split(separator) if part.strip()]
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            listed = f"{separator} ".join(known)
            raise argparse.ArgumentTypeError(f"{', '.join(map(repr, unknown)) or 'nothing'}: not among {listed}")
        return [name for name in known if name in wanted]

    return parse

"""Regular expressions that users write: Envoy takes RE2 and refuses the whole configuration over one bad expression.

So an expression goes on only if it is surely valid: what Python accepts and RE2 knows too.
"""

import re
from functools import lru_cache

_LONGEST = 1024
_CACHED = 4096
_LARGEST_REPEAT = 1000  # RE2's own limit
_UNKNOWN_TO_RE2 = re.compile(
    r"""
      \(\?(?!:|P<[A-Za-z_]\w*>|[ims]+[:)])  # look-around, atomic groups, conditionals, comments, other flags
    | \\[1-9]                               # back-references
    | \\[ZNuU]                              # Python's own escapes
    | [*+?}]\+                              # possessive quantifiers
    | \{,                                   # Python: from zero; RE2: literally
    """,
    re.VERBOSE,
)
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")


@lru_cache(maxsize=_CACHED)
def expression_problem(expression: str) -> str | None:
    """Return what is wrong with an expression as a predicate (`is empty`), or None if it can be used."""
    if not expression:
        return "is empty"
    if len(expression) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    unknown = _UNKNOWN_TO_RE2.search(expression)
    if unknown:
        return f"uses {unknown.group()!r}, which RE2 does not know"
    product = 1
    for low, high in _REPEAT.findall(expression):
        product *= max(1, int(low), int(high or 0))
    if product > _LARGEST_REPEAT:
        return f"repeats more than {_LARGEST_REPEAT} times"
    try:
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    return None

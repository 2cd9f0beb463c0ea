"""Regular expressions that users write: Envoy takes RE2 and refuses the whole configuration over one bad expression."""

from roadstead.lib.patterns import PatternError, compile_pattern

_LONGEST = 1024


def expression_problem(expression: str) -> str | None:
    """Return what is wrong with an expression as a predicate (`is empty`), or None if Envoy takes it."""
    if not expression:
        return "is empty"
    if len(expression) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    try:
        compile_pattern(expression)
    except PatternError as error:
        return f"is not a regular expression of RE2: {error}"
    return None

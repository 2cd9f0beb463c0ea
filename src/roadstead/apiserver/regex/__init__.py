"""Regular expressions as Kubernetes reads them (RE2's syntax), matched in time that grows with the text alone.

Patterns come from users: in the schemas and rules of CRDs. Python's own matcher backtracks, so that a hostile pattern
could keep it busy for ever; and it reads some patterns otherwise than Go. `syntax` reads a pattern, `matching` runs it.
"""

from functools import lru_cache

from roadstead.apiserver.regex.matching import Pattern, TooMuchWork
from roadstead.apiserver.regex.syntax import PatternError

__all__ = ["Pattern", "PatternError", "TooMuchWork", "compile_pattern"]


@lru_cache(1024)
def compile_pattern(text: str) -> Pattern:
    """Return the pattern that a text is. Raises PatternError, worded as Go words it."""
    return Pattern(text)

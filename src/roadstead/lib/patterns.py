"""Regular expressions as Kubernetes and Envoy read them: RE2 itself, which takes time that grows with the text alone.

They come from users: in routes, in the schemas and rules of CRDs. Python's own matcher backtracks, so that a hostile
pattern could keep it busy for ever, and it reads some patterns otherwise (https://github.com/google/re2/wiki/Syntax).
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # otherwise RE2 writes what it refuses on the standard error output


class PatternError(ValueError):
    """A text is no pattern; the message says why."""


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Compile a pattern. Raises PatternError."""
        self.text = text
        try:
            self._compiled = re2.compile(text, _OPTIONS)
        except (re2.error, UnicodeEncodeError) as error:
            raise PatternError(f"error parsing regexp: {_words(error)}") from None

    def search(self, text: str) -> bool:
        """Say whether the pattern matches anywhere in a text."""
        return self._compiled.search(_bytes(text)) is not None

    def covers(self, text: str) -> bool:
        """Say whether the pattern matches a whole text."""
        return self._compiled.fullmatch(_bytes(text)) is not None

    def find(self, text: str, most: int | None = None) -> list[str]:
        """Return what the pattern matches in a text, from left to right, `most` of them at most.

        As in Go, an empty match does not count that begins where another one ends.
        """
        return list(islice(self._matches(_bytes(text)), most))

    def _matches(self, text: bytes) -> Iterator[str]:
        end = -1
        for match in self._compiled.finditer(text):
            if match.group() or match.start() != end:
                yield match.group().decode(errors="replace")
            end = match.end()


@lru_cache(4096)
def compile_pattern(text: str) -> Pattern:
    """Return the pattern that a text is. Raises PatternError."""
    return Pattern(text)


def _words(error: Exception) -> str:
    reason = error.args[0] if isinstance(error, re2.error) and error.args else str(error)
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def _bytes(text: str) -> bytes:
    """Return a text as RE2 reads it; lone surrogates, which JSON may carry and UTF-8 may not, as question marks."""
    return text.encode(errors="replace")

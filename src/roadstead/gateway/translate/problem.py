"""What is wrong with a piece of a manifest, said so that its author can mend it."""

from typing import NamedTuple


class Problem(NamedTuple):
    """`reason` is the API's word for a condition; `message` names the field, what is wrong, and the remedy."""

    reason: str
    message: str


def joined(problems: list[Problem]) -> Problem | None:
    """Return one problem with the first one's reason and everybody's message (each once), or None if there is none."""
    if not problems:
        return None
    return Problem(problems[0].reason, "; ".join(dict.fromkeys(problem.message for problem in problems)))

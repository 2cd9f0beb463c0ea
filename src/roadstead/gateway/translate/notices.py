"""What people should hear of an object whose kind has no conditions to say it in: it becomes an Event."""

from typing import NamedTuple

from roadstead.api.objects import Object


class Notice(NamedTuple):
    """A warning about an object: `reason` in CamelCase, `message` with the field and the remedy."""

    regarding: Object
    reason: str
    message: str

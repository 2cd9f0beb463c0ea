"""How one object of a cluster stands: what `roadstead up` shows a line for."""

from typing import Literal, NamedTuple

from roadstead.api.objects import ObjectKey

State = Literal["ready", "waiting", "failed"]


class Standing(NamedTuple):
    """How one object stands; `message` says what it waits for or why it failed."""

    kind: str
    key: ObjectKey
    state: State
    message: str

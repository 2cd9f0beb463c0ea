"""Who is calling: proved by a credential, put where a handler can ask for it.

`credentials/` makes an `Identity`, `policy.py` judges it, handlers read it with `current_identity()`.
"""

from contextvars import ContextVar
from typing import Literal

import msgspec

Proof = Literal["password", "token", "certificate"]


class Identity(msgspec.Struct, frozen=True):
    """A caller that has proved its name.

    `expires` is on the clock of `time.time()`; None means that the credential itself has no end.
    """

    name: str
    proof: Proof
    groups: tuple[str, ...] = ()
    expires: float | None = None


_current: ContextVar[Identity | None] = ContextVar("roadstead_identity", default=None)


def current_identity() -> Identity | None:
    """Return the caller of the RPC that is being handled; None for a method that is open to anybody."""
    return _current.get()


def set_current_identity(identity: Identity | None) -> None:
    """Make `identity` the caller for the rest of this context (one RPC); tests of handlers use it too."""
    _current.set(identity)

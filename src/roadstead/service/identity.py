"""Who is calling: proved by a credential, put where a handler can ask for it.

`credentials/` makes an `Identity`, `policy.py` judges it, handlers read it with `current_identity()`.
"""

from contextvars import ContextVar
from typing import Literal, Protocol

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


class Bearer(Protocol):
    """What has a caller: the RPC that is being handled."""

    @property
    def identity(self) -> Identity | None:
        """Who calls."""

    @property
    def client(self) -> str:
        """The address that is asked for, of a call to an open method (`credentials/client.py`); else ""."""


class Stranger(msgspec.Struct, frozen=True):
    """A caller without an RPC, for tests of handlers."""

    identity: Identity | None = None
    client: str = ""


# One variable for the RPC and its caller: each that is set takes time at every call.
bearer: ContextVar[Bearer] = ContextVar("roadstead_call")


def current_identity() -> Identity | None:
    """Return the caller of the RPC that is being handled; None for a method that is open to anybody."""
    found = bearer.get(None)
    return None if found is None else found.identity


def set_current_identity(identity: Identity | None) -> None:
    """Make `identity` the caller for the rest of this context, without an RPC: for tests of handlers."""
    bearer.set(Stranger(identity))

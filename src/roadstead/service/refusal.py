"""What a caller is told when its RPC is not carried out, and what the log is told instead."""

import math
from collections.abc import Iterable
from typing import Any

import grpc
import msgspec

from roadstead.service.sendable import MetadataPairs, sendable_error, sendable_text

# Of a millisecond: what a calculation of seconds is off by must not make it the next one.
_ROUNDING = 1e-6


class Refusal(msgspec.Struct, frozen=True):
    """An RPC that ends before, or in place of, its handler.

    `message` goes to the client and never says which half of its credentials was wrong; `reason` goes to the log.
    `public_reason` is a word for the client's program that says no more than the message, and `details` are messages
    for it.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    retry_after: float | None = None
    public_reason: str = ""
    details: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if the code is none for an error, TypeError if the message is no text."""
        sendable_error(self.code)
        _check_text(self.message)

    @property
    def trailing_metadata(self) -> MetadataPairs:
        """Metadata sent with the status: how long a client should wait (gRFC A6), and details if their types are there.

        Raises ModuleNotFoundError if there are `details` and their types are not installed.
        """
        if self.retry_after is None and not self.public_reason and not self.details:
            return ()
        return (*_pushback(self.retry_after), *_status_details(self))


def _pushback(retry_after: float | None) -> MetadataPairs:
    if retry_after is None:
        return ()
    return (("grpc-retry-pushback-ms", str(max(1, math.ceil(retry_after * 1000 - _ROUNDING)))),)


def _status_details(refusal: Refusal) -> MetadataPairs:
    # Here, since most calls have no details and need none of their types.
    from roadstead.service import details

    if refusal.details:
        details.require()
    elif not details.available():
        return ()
    usual = details.usual_details(refusal.public_reason, refusal.retry_after)
    return details.status_metadata(refusal.code, sendable_text(refusal.message), (*refusal.details, *usual))


def unauthenticated(
    reason: str, message: str = "missing or wrong credentials", public_reason: str = "CREDENTIALS_REJECTED"
) -> Refusal:
    """Return the one answer to every caller that nobody vouches for."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, message, reason, public_reason=public_reason)


class RpcError(Exception):
    """Raise it in a handler, or far below one, to end the RPC with a status of your choice.

    `details` are protobuf messages, such as google.rpc's (`details.py`); they need the extra `details`. Raises
    ValueError if the code is none for an error, TypeError if the message is no text or something else is among the
    details, ModuleNotFoundError if the extra is missing.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Iterable[Any] = ()) -> None:
        super().__init__(message)
        # Not later: grpc.aio would leave the caller without any answer.
        self.code = sendable_error(code)
        _check_text(message)
        self.message = sendable_text(message)
        self.details = tuple(details)
        if self.details:
            _check_details(self.details)


class Refused(RpcError):
    """Raise it in a handler to answer with a refusal as it is, with what it tells the log and when to come again."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.message)
        self.refusal = refusal


def _check_text(message: Any) -> None:
    if not isinstance(message, str):
        raise TypeError(f"the message of an error is a text, not {type(message).__name__}")


def _check_details(messages: tuple[Any, ...]) -> None:
    from google.protobuf.message import Message

    from roadstead.service import details

    details.require()
    for message in messages:
        if not isinstance(message, Message):
            raise TypeError(f"details of an error are protobuf messages, not {type(message).__name__}")

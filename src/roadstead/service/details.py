"""More than a code and a text: details of an error as messages, such as google.rpc's `BadRequest` or `RetryInfo`.

A server sends them as a `google.rpc.Status` in the metadata that ends a call; clients of every language read them:

    raise RpcError(StatusCode.INVALID_ARGUMENT, "no such country", details=[BadRequest(field_violations=[…])])

    except grpc.RpcError as error:                # of grpc.aio and of threaded channels
        for detail in details_of(error): …

Many clients take no more than 8 KiB of metadata and lose the whole status if there is more. So what does not fit is
left out here, the last first. Sending needs the extra `details`; `refusal.py` asks for it only if there is something.
"""

import importlib.util
from collections.abc import Iterable
from functools import cache
from typing import Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.message import DecodeError, Message

_log = structlog.get_logger(__name__)
KEY = "grpc-status-details-bin"
DOMAIN = "roadstead.dev"
# Of 8192 bytes for all metadata: a text on the wire, the details before they become base64 (6144 bytes then), and some
# 900 bytes for grpc's own names and for what a handler sends.
MOST_TEXT = 1024
MOST_DETAILS = 4608


@cache
def available() -> bool:
    """Tell whether google.rpc's types are installed."""
    try:
        return importlib.util.find_spec("google.rpc.status_pb2") is not None
    except ModuleNotFoundError:
        return False


def require() -> None:
    """Raise ModuleNotFoundError with the remedy if google.rpc's types are not installed."""
    if not available():
        problem = "details of errors need googleapis-common-protos: install it with `pip install 'roadstead[details]'`"
        raise ModuleNotFoundError(problem, name="google.rpc")


def status_metadata(code: grpc.StatusCode, text: str, details: Iterable[Message]) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata that carries a status with as many of the details as fit."""
    from google.rpc.status_pb2 import Status

    status = Status(code=code.value[0], message=shortened_text(text))
    left = MOST_DETAILS - status.ByteSize()
    for detail in details:
        packed = _packed_into(detail, left)
        if packed is None:
            _log.warning("a detail of an error is too large to be sent", type=detail.DESCRIPTOR.full_name, room=left)
            continue
        status.details.append(packed)
        left -= _size_in_status(packed)
    return ((KEY, status.SerializeToString()),)


def usual_details(public_reason: str, retry_after: float | None) -> list[Message]:
    """Return google.rpc's form of a word for programs and of a time to wait."""
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

    details: list[Message] = []
    if public_reason:
        details.append(ErrorInfo(reason=public_reason, domain=DOMAIN))
    if retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(round(retry_after * 1e9))
        details.append(retry)
    return details


def shortened_text(text: str) -> str:
    """Return a text that takes no more than `MOST_TEXT` bytes on the wire, where most bytes become three (`%C3`)."""
    room = MOST_TEXT - len("…".encode()) * 3
    if len(text) * 12 <= room:
        return text
    size = 0
    for position, character in enumerate(text):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode(errors="replace"))
        if size > room:
            return text[:position] + "…"
    return text


def details_of(error: grpc.RpcError) -> tuple[Any, ...]:
    """Return the details that a server sent with an error; messages of types that are not imported as `Any`.

    Takes what calls of grpc.aio and of threaded channels raise. Nothing, if there are none, if they cannot be read, or
    if they belong to another status than the call's.
    """
    if not available():
        return ()
    from google.rpc.status_pb2 import Status

    ask = getattr(error, "trailing_metadata", None)
    found = [value for key, value in (ask() if ask is not None else None) or () if key == KEY]
    try:
        status = Status.FromString(found[0]) if found else Status()
    except (DecodeError, TypeError):
        return ()
    if not found or status.code != error.code().value[0]:
        return ()
    return tuple(_unpacked(packed) for packed in status.details)


def _unpacked(packed: PackedMessage) -> Any:
    from google.protobuf import descriptor_pool, message_factory

    # Their types have to be known to be found; whoever asks for details knows google.rpc's.
    from google.rpc import error_details_pb2  # noqa: F401

    try:
        kind = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
        message = message_factory.GetMessageClass(kind)()
        packed.Unpack(message)
    except (KeyError, DecodeError):
        return packed
    return message


def _packed_into(detail: Message, room: int) -> PackedMessage | None:
    packed = _packed(detail)
    while _size_in_status(packed) > room:
        shorter = _halved(detail)
        if shorter is None:
            return None
        detail, packed = shorter, _packed(shorter)
    return packed


def _packed(detail: Message) -> PackedMessage:
    if isinstance(detail, PackedMessage):
        return detail
    packed = PackedMessage()
    packed.Pack(detail)
    return packed


def _halved(detail: Message) -> Message | None:
    """Return a copy with half of its list, such as a BadRequest's violations; None if it has none to be cut."""
    lists = [field.name for field, value in detail.ListFields() if field.is_repeated and hasattr(value, "insert")]
    longest = max(lists, key=lambda name: len(getattr(detail, name)), default=None)
    if longest is None or len(getattr(detail, longest)) < 2:
        return None
    copy = type(detail)()
    copy.CopyFrom(detail)
    entries = getattr(copy, longest)
    del entries[len(entries) // 2 :]
    return copy


def _size_in_status(packed: PackedMessage) -> int:
    # A tag, and a length of up to two bytes.
    return packed.ByteSize() + 3

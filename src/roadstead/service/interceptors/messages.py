"""Reading requests by ourselves, so that every RPC is heard of and bytes that are no message have a clear answer."""

from collections.abc import Callable
from typing import Any

import grpc

from roadstead.service.refusal import Refusal, Refused

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISSING_REQUEST = Refusal(_INVALID, "the request is missing")


def reading(handler: Any, behaviour: Callable[..., Any], decode: Any, encode: Any) -> Any:
    """Return a grpc method handler that reads its requests by itself, whatever kind `handler` is of.

    On the wire a single message is a stream of one. grpc keeps a unary request from its handler until it is there and
    decoded, and answers for itself if that fails: whoever never ends a request would be called by nobody and logged
    nowhere. A single response to it is still sent with its status, at half the price of a stream.
    """
    make = grpc.stream_stream_rpc_method_handler if has_streams(handler) else grpc.stream_unary_rpc_method_handler
    return make(behaviour, decode, encode)


def has_streams(handler: Any) -> bool:
    """Tell whether the request or the response of a method is a stream."""
    return bool(handler.request_streaming or handler.response_streaming)


def is_fine(context: Any) -> bool:
    """Tell whether the handler has set no code of an error; with one, there is no response to encode."""
    code = context.code()
    return not code or code is grpc.StatusCode.OK


def decoding(handler: Any) -> Callable[[bytes], Any] | None:
    """Return what makes messages of bytes, and raises Refused if they are none; None if bytes are what is wanted."""
    decode = handler.request_deserializer
    if decode is None:
        return None

    def decoded(content: bytes) -> Any:
        try:
            return decode(content)
        except Exception as error:  # noqa: BLE001  whatever a decoder says of a stranger's bytes, its text stays here
            raise Refused(Refusal(_INVALID, "the request cannot be decoded", type(error).__name__)) from None

    return decoded


def encoding(handler: Any) -> Callable[[Any], bytes]:
    """Return what makes bytes of the messages that a handler answers with."""
    return handler.response_serializer or _as_they_are


def _as_they_are(response: Any) -> bytes:
    if not isinstance(response, bytes):
        raise TypeError(f"a method without a serializer answers with bytes, not {type(response).__name__}")
    return response

"""Bodies in, answers out: the few steps between ASGI messages and the verbs. Nothing of Kubernetes is decided here."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from starlette.types import Message, Receive, Scope, Send

from roadstead.api.errors import ApiError, BadRequest, RequestEntityTooLarge, Timeout
from roadstead.api.objects import Object

BODY_LIMIT = 3 << 20
"""As much as Kubernetes takes in one request."""
BODY_SECONDS = 60.0
PIECE_BYTES = 128 << 10
"""How much of a long answer is handed to a connection at once."""
_JSON = b"application/json"
_MOST_WARNINGS = 32
_ALL_WARNINGS = 4096
_LONGEST_WARNING = 256
"""How long one is if all together would be longer than that."""
Header = tuple[bytes, bytes]


class Disconnected(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


def header(scope: Scope, name: bytes) -> str:
    """Return a request header, empty if it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def headers(scope: Scope, name: bytes) -> list[str]:
    """Return every value of a request header."""
    return [str(value, "latin-1") for key, value in scope["headers"] if key == name]


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body. Raises RequestEntityTooLarge, Timeout for a client that is too slow, Disconnected."""
    length = header(scope, b"content-length")
    if int(length or 0) > BODY_LIMIT:  # a client that asks before it sends need not send
        raise _too_large()
    if length in {"", "0"} and not header(scope, b"transfer-encoding"):
        return await _read_parts(receive)  # there is none, and nothing to wait for
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_parts(receive)
    except TimeoutError:
        raise Timeout(f"the body of the request did not arrive within {BODY_SECONDS:.0f} s") from None


async def _read_parts(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            raise _too_large()
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")


async def send_bytes(
    send: Send, code: int, body: bytes, *, content_type: bytes = _JSON, extra: Iterable[Header] = ()
) -> None:
    """Answer with a body of known length."""
    head = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": code, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_parts(send: Send, code: int, parts: Sequence[bytes]) -> None:
    """Answer with a body in parts, which may be long: it is sent as fast as the client reads, and others get turns."""
    size = sum(map(len, parts))
    head = [(b"content-type", _JSON), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": code, "headers": head})
    for piece in _pieces(parts):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


def _pieces(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Join parts to pieces of about PIECE_BYTES; a longer part is cut."""
    gathered: list[bytes] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= PIECE_BYTES:
            whole = b"".join(gathered)
            for start in range(0, len(whole), PIECE_BYTES):
                yield whole[start : start + PIECE_BYTES]
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


async def send_object(send: Send, code: int, obj: Object, *, extra: Iterable[Header] = ()) -> None:
    """Answer with an object as JSON."""
    await send_bytes(send, code, msgspec.json.encode(obj), extra=extra)


async def send_error(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Answer with the error's Status; a WebSocket that was not accepted yet is denied with it."""
    body = msgspec.json.encode(error.status())
    extra = [*_retry_after(error), *warning_headers(error.warnings)]
    if scope["type"] == "http":
        await send_bytes(send, error.code, body, extra=extra)
        return
    head = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "websocket.http.response.start", "status": error.code, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body})


def _retry_after(error: ApiError) -> list[Header]:
    seconds = error.details.get("retryAfterSeconds")
    return [(b"retry-after", str(seconds).encode())] if seconds else []


async def start_stream(send: Send, content_type: bytes, extra: Iterable[Header] = ()) -> None:
    """Begin an answer whose length nobody knows; the head goes out at once."""
    head = [(b"content-type", content_type), (b"cache-control", b"no-cache, private"), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": head})


async def send_chunk(send: Send, chunk: bytes) -> None:
    """Send a part of a stream; waits while the client does not read."""
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


def direct_push(scope: Scope) -> Callable[[bytes], bool] | None:
    """Return what sends a part of the stream that has begun without waiting, if the connection has such a thing.

    It says whether the connection took the part: not if the client does not keep up. See `connections`.
    """
    push: Callable[[bytes], bool] | None = scope.get("state", {}).get("push")
    return push


async def end_stream(send: Send) -> None:
    """End a stream in the way that tells the client it is complete."""
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_disconnected(receive: Receive) -> None:
    """Return when the client has gone away. The request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        continue


def warning_headers(warnings: Sequence[str]) -> list[Header]:
    """Return warnings as RFC 7234 headers, the way in which kubectl shows them; they may quote what a client sent.

    No more than clients take: Python's refuse an answer of more than a hundred headers.
    """
    told = list(dict.fromkeys(warnings))
    shown = told[:_MOST_WARNINGS]
    if len(told) > len(shown):
        shown.append(f"and {len(told) - len(shown)} more warnings")
    longest = _LONGEST_WARNING if sum(map(len, shown)) > _ALL_WARNINGS else _ALL_WARNINGS
    return [(b"warning", f'299 - "{_quoted(text[:longest])}"'.encode("utf-8", "replace")) for text in shown]


def with_headers(send: Send, extra: Sequence[Header]) -> Send:
    """Return a `send` that adds headers to the answer."""
    if not extra:
        return send

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return adding


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in escaped)


def checked_text(value: str, what: str) -> str:
    """Return text from a URL. Raises BadRequest for control characters, which no name has."""
    if not value.isprintable():
        raise BadRequest(f"{what} has unprintable characters")
    return value

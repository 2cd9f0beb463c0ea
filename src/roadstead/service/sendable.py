"""What a server can say in a status and in metadata, checked before grpc has it.

grpc takes nearly anything from a handler and stumbles over it when the call ends: a text with half a character in it
(as `os.listdir` returns for a name that is no UTF-8) leaves the caller of grpc.aio without any answer, a number among
the metadata that of a threaded server. Refused here, such a fault has a traceback that ends where it was made.
"""

import re
from collections.abc import Iterable
from typing import Any

import grpc

MetadataPairs = tuple[tuple[str, str | bytes], ...]
_ERRORS = frozenset(grpc.StatusCode) - {grpc.StatusCode.OK}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# What grpc's core takes (`validate_metadata.cc`): none of HTTP/2's own names, with a colon before them.
_NAME = re.compile(r"(?!-bin$)[0-9a-z_.-]+")
# It also takes this one, and ends the process when it is sent with a status (1.85: `chttp2_transport.cc`).
_FATAL = "grpc-timeout"
_VALUE = re.compile(r"[ -~]*")


def sendable_text(text: Any) -> str:
    """Return the text of a status as it can be encoded, what cannot be as an escape. None is no text.

    Raises TypeError if it is neither text nor bytes.
    """
    if text is None:
        return ""
    if isinstance(text, bytes):
        return text.decode(errors="backslashreplace")
    if not isinstance(text, str):
        raise TypeError(f"the details of a status are a text, not {type(text).__name__}")
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def sendable_code(code: Any) -> grpc.StatusCode:
    """Return a status code, which may be given as its number. Raises ValueError if there is no such code."""
    if isinstance(code, grpc.StatusCode):
        return code
    try:
        return _CODES[code]
    except (KeyError, TypeError):
        raise ValueError(f"{code!r} is no status code of grpc") from None


def sendable_error(code: Any) -> grpc.StatusCode:
    """Return the status code of an error. Raises ValueError if it is none."""
    found = sendable_code(code)
    if found not in _ERRORS:
        raise ValueError(f"{found!r} is no status of an error")
    return found


def sendable_metadata(metadata: Iterable[Any] | None) -> MetadataPairs:
    """Return pairs of names and values as a tuple; None is none.

    Raises ValueError, or TypeError, that names the pair which cannot be sent, without its value: it may be a secret.
    """
    return tuple(_sendable_pair(pair) for pair in metadata or ())


def _sendable_pair(pair: Any) -> tuple[str, str | bytes]:
    try:
        name, value = pair
    except (TypeError, ValueError):
        raise TypeError(f"metadata are pairs of a name and a value, not {type(pair).__name__}") from None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"metadata {name!r}: a name consists of small letters, digits, '-', '_' and '.'")
    if name == _FATAL:
        raise ValueError(f"metadata {name!r}: only clients send this")
    if name.endswith("-bin"):
        if not isinstance(value, bytes):
            raise TypeError(f"metadata {name!r}: its value must be bytes, not {type(value).__name__}")
        return name, value
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError(f"metadata {name!r}: its value must be text, not {type(value).__name__}")
    if not _VALUE.fullmatch(text):
        raise ValueError(f"metadata {name!r}: its value may have printable ASCII only; a name with -bin takes bytes")
    return name, value

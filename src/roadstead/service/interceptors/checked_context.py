"""What a handler says of how its call ends, checked at once: the part that the contexts of both servers share."""

from typing import Any

import msgspec

from roadstead.service.interceptors.stage import Call
from roadstead.service.sendable import sendable_code, sendable_metadata, sendable_text


class CheckedContext(msgspec.Struct, eq=False):
    """grpc's context of a call; a handler that says what cannot be sent gets a ValueError or a TypeError for it.

    A Struct for the same reason as `Call`.
    """

    _call: Call
    # Not left to the call, which forgets it in the end: a handler may keep its context for longer.
    _inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def set_code(self, code: Any) -> None:
        """Set the status code, given as such or as its number."""
        self._inner.set_code(sendable_code(code))

    def set_details(self, details: Any) -> None:
        """Set the text of the status."""
        self._inner.set_details(sendable_text(details))

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the metadata that are sent with the status."""
        self._inner.set_trailing_metadata(sendable_metadata(trailing_metadata))

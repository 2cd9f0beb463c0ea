"""What one client is still to be sent, within bounds. Next: `hub`, whose streams send it."""

import asyncio
from collections import deque
from collections.abc import Callable

BUFFER_BYTES = 8 << 20
"""As much as a kind's history holds: who is further behind could not resume anyway, and has to list again."""
CHUNK_BYTES = 256 << 10
Push = Callable[[bytes], bool]
"""Sends lines at once if the client's connection takes them; says whether it did."""


class Watcher:
    """The buffer between an audience and one client's stream.

    A client that keeps up is sent its lines directly (`push`); only where its connection is busy, or there is none, do
    they gather for the stream to fetch. One that does not read falls behind by `limit` bytes and is then cut off.
    """

    def __init__(self, limit: int = BUFFER_BYTES) -> None:
        self.closed = False
        self.push: Push | None = None
        self._limit = limit
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._idle = False
        self._wake = asyncio.Event()

    def take(self, block: bytes) -> None:
        """Send lines, or keep them until they can be sent."""
        if self.closed or (self._idle and self.push is not None and self.push(block)):
            return
        self._idle = False
        self._blocks.append(block)
        self._size += len(block)
        if self._size > self._limit:
            self._blocks.clear()
            self.closed = True
        self._wake.set()

    def close(self) -> None:
        """End the stream once what is kept was fetched."""
        self.closed = True
        self._wake.set()

    async def fetch(self, seconds: float) -> bytes:
        """Return what is kept, or its beginning, waiting at most this long for it; empty if nothing came."""
        if not self._blocks and not self.closed:
            self._wake.clear()
            self._idle = True
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass  # what came at the same moment is not left behind
            finally:
                self._idle = False
        return self._next_chunk()

    def _next_chunk(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._blocks and size < CHUNK_BYTES:
            parts.append(self._blocks.popleft())
            size += len(parts[-1])
        self._size -= size
        return b"".join(parts)

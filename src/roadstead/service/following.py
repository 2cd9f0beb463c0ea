"""A channel that follows its files and its name, by opening another one.

grpcio reads a client's certificate once, and looks a name up again only when a connection ends. The new channel is
opened beside the old one and takes over when it has a connection, so no call waits for it and none is lost; the old one
is closed when its last call has ended. Stubs hold on to the `FollowingChannel` and notice nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
import structlog

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.service.addresses import Addresses
from roadstead.service.tls import Content, TlsFiles

_log = structlog.get_logger(__name__)
# How long a new channel may take to connect.
_PATIENCE = 10.0


class State(NamedTuple):
    """What a channel is opened for: the content of files, and how often its name has got new addresses."""

    content: Content[bytes]
    generation: int


class FollowingChannel(grpc.aio.Channel):
    """A `grpc.aio.Channel` over channels that `open_channel` makes of what stands in `files`, one after the other.

    Another one is opened when the files have changed, or the name has new addresses. Both are looked at when a call is
    made, the files at most once a second.
    """

    def __init__(
        self,
        open_channel: Callable[[Content[bytes]], grpc.aio.Channel],
        files: TlsFiles | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        self._files = files
        self._addresses = addresses
        self._open = open_channel
        self._current = _Opened(self._state(), open_channel)
        self._retired: set[_Opened] = set()
        self._renewal: asyncio.Task[None] | None = None

    def current(self) -> "_Opened":
        """Return the channel for the next call; begins to open a new one if the files have changed."""
        if self._renewal is None and self._state() != self._current.state:
            self._renewal = spawn(self._renew(), name="another channel")
            self._renewal.add_done_callback(self._renewed)
        return self._current

    def _state(self) -> State:
        content = Content[bytes]() if self._files is None else self._files()
        return State(content, 0 if self._addresses is None else self._addresses())

    def _renewed(self, _task: "asyncio.Task[None]") -> None:
        self._renewal = None

    async def _renew(self) -> None:
        fresh = _Opened(self._state(), self._open)
        self._retired.add(fresh)  # `close` closes it, too
        try:
            async with asyncio.timeout(_PATIENCE):
                await fresh.channel.channel_ready()
        except TimeoutError:
            if fresh.state.content == self._current.state.content:
                # Nobody is there whom the name means now; those whom it meant before may still be.
                self._current.state = fresh.state
                fresh.close_when_idle(lambda: self._retired.discard(fresh))
                return
            # The files are what is to be shown, come what may.
            _log.warning("no connection with the new certificate yet")
        self._retired.remove(fresh)
        old, self._current = self._current, fresh
        self._retired.add(old)
        old.close_when_idle(lambda: self._retired.discard(old))

    async def close(self, grace: float | None = None) -> None:
        """Close every channel that is open; calls may take `grace` seconds to end."""
        if self._addresses is not None:
            self._addresses.close()
        if self._renewal is not None:
            await cancel_all([self._renewal])
        await asyncio.gather(*(each.channel.close(grace) for each in (self._current, *self._retired)))

    async def __aenter__(self) -> "FollowingChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the channel that is in use."""
        return self._current.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the channel that is in use has another state."""
        await self._current.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the channel that is in use has a connection."""
        await self._current.channel.channel_ready()

    def unary_unary(self, method: str, *arguments: Any, **settings: Any) -> Any:
        """Return what makes calls of a unary method."""
        return _Invoker(self, "unary_unary", (method, *arguments), settings)

    def unary_stream(self, method: str, *arguments: Any, **settings: Any) -> Any:
        """Return what makes calls of a method with a stream of replies."""
        return _Invoker(self, "unary_stream", (method, *arguments), settings)

    def stream_unary(self, method: str, *arguments: Any, **settings: Any) -> Any:
        """Return what makes calls of a method with a stream of requests."""
        return _Invoker(self, "stream_unary", (method, *arguments), settings)

    def stream_stream(self, method: str, *arguments: Any, **settings: Any) -> Any:
        """Return what makes calls of a method with streams both ways."""
        return _Invoker(self, "stream_stream", (method, *arguments), settings)


class _Opened:
    """A channel with what it shows, and the number of its calls that have not ended."""

    def __init__(self, state: State, open_channel: Callable[[Content[bytes]], grpc.aio.Channel]) -> None:
        self.state = state
        self.channel = open_channel(state.content)
        self._running = 0
        self._on_idle: Callable[[], None] | None = None

    def begin(self, call: Any) -> Any:
        """Count a call until it ends; returns it."""
        self._running += 1
        call.add_done_callback(self._end)
        return call

    def _end(self, _call: Any) -> None:
        self._running -= 1
        self._close_if_idle()

    def close_when_idle(self, on_closed: Callable[[], None]) -> None:
        """Close the channel as soon as no call of it is running."""
        self._on_idle = on_closed
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._on_idle is not None and not self._running:
            self._on_idle()
            self._on_idle = None
            spawn(self.channel.close(), name="old channel's end")


class _Invoker:
    """One method of a channel that is not always the same."""

    def __init__(
        self, following: FollowingChannel, kind: str, arguments: tuple[Any, ...], settings: dict[str, Any]
    ) -> None:
        self._following = following
        self._kind = kind
        self._arguments = arguments
        self._settings = settings
        self._made: tuple[_Opened, Any] | None = None

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Begin a call on the channel in use."""
        opened = self._following.current()
        if self._made is None or self._made[0] is not opened:
            self._made = opened, getattr(opened.channel, self._kind)(*self._arguments, **self._settings)
        return opened.begin(self._made[1](*arguments, **settings))

"""The supervisor's side of the relay process: open and close listeners, and let it borrow the edge's sockets."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from roadstead.lib.tasks import spawn
from roadstead.node.network.relay import Answer, Close, Closed, Open, Opened, Refused

Lend = Callable[[socket.socket], Awaitable[None]]
"""Lets somebody answer the relay's requests for sockets of the edge namespace, as `NetdClient.lend("edge", ...)`."""

_MESSAGE_BYTES = 1 << 16
_log = structlog.get_logger(__name__)


class PortUnavailable(Exception):
    """The relay cannot listen there; the message names address, port and remedy."""


class RelayGone(Exception):
    """The relay process has ended."""


class RelayClient:
    """Commands the relay. Create it in the event loop with what `fork_relay` returned."""

    def __init__(self, control: socket.socket, loan: socket.socket | None, lend: Lend | None) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
        self._loop.add_reader(control, self._readable)
        self._lending: asyncio.Task[None] | None = None
        if loan is not None and lend is not None:
            self._lending = spawn(_lend(loan, lend), name="lend sockets to the relay")

    async def open(self, address: str, port: int, targets: Sequence[tuple[str, int]], *, fallback: bool = True) -> int:
        """Listen on a host address; return the port that was bound, the asked one or its fallback.

        Opening what is open changes the targets. Raises PortUnavailable, RelayGone.
        """
        answer = await self._ask(Open(next(self._numbers), address, port, list(targets), fallback))
        if isinstance(answer, Refused):
            raise PortUnavailable(answer.message)
        assert isinstance(answer, Opened)
        return answer.port

    async def close_listener(self, address: str, port: int) -> None:
        """Stop to listen there; the asked port, also where its fallback was bound. Open connections go on."""
        answer = await self._ask(Close(next(self._numbers), address, port))
        assert isinstance(answer, Closed)

    async def aclose(self) -> None:
        """End the relay process and every connection through it."""
        if self._lending is not None:
            self._lending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._lending
        self._end()

    async def _ask(self, command: Open | Close) -> Answer:
        if self._control.fileno() < 0:
            raise RelayGone("the relay process has ended")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[command.id] = answer
        try:
            await self._loop.sock_sendall(self._control, msgspec.msgpack.encode(command))
            return await answer
        finally:
            self._answers.pop(command.id, None)

    def _readable(self) -> None:
        try:
            packet = self._control.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            _log.warning("the relay process has ended")
            self._end()
            return
        answer = self._decoder.decode(packet)
        waiting = self._answers.get(answer.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _end(self) -> None:
        if self._control.fileno() < 0:
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RelayGone("the relay process has ended"))


async def _lend(loan: socket.socket, lend: Lend) -> None:
    with loan:
        try:
            await lend(loan)
        except Exception as error:  # noqa: BLE001 (whoever lends says in its own words why it cannot)
            _log.error("the relay cannot reach the cluster", error=str(error))

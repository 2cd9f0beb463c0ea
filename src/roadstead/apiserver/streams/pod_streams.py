"""`exec` and `attach`: a WebSocket on one side, a process in a container on the other.

Sub-protocols `v5.channel.k8s.io` and `v4.channel.k8s.io`: each binary message begins with the number of a channel:
0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 the terminal's size. In v5 the message `FF 00` closes stdin
(apimachinery pkg/util/remotecommand/constants.go). The decisions are in `parse_message` and `exit_status`; the rest
moves bytes.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

import msgspec
from starlette.types import Receive, Send

from roadstead.api.errors import ApiError, BadRequest, Invalid
from roadstead.api.objects import Object
from roadstead.apiserver.calls import Call
from roadstead.apiserver.http.parameters import Query, first, flag
from roadstead.apiserver.store import Store
from roadstead.apiserver.streams.kubelet import ExecSession, Kubelet
from roadstead.apiserver.streams.pod_logs import agent, container_of, pod_on_node
from roadstead.lib.tasks import cancel_all, spawn

STDIN, STATUS, RESIZE = 0, 3, 4
_CLOSE = 255
_LARGEST_TERMINAL = 65535
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Which streams a client wants of a process (`PodExecOptions`)."""

    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: Query, *, needs_command: bool) -> "StreamOptions":
        """Read them. Raises BadRequest or Invalid."""
        options = cls(
            tuple(query.get("command", ())),
            flag(query, "stdin"),
            flag(query, "stdout"),
            flag(query, "stderr"),
            flag(query, "tty"),
        )
        if needs_command and not options.command:
            raise Invalid("you must specify at least 1 command")
        if not (options.stdin or options.stdout or options.stderr):
            raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        return options


@dataclass(frozen=True, slots=True)
class Message:
    """What a client's message asks for."""

    action: Literal["input", "close", "resize", "ignore"]
    chunk: bytes = b""
    size: tuple[int, int] = (0, 0)


def parse_message(raw: bytes) -> Message:
    """Read a message from the client; what cannot be understood is ignored, as Kubernetes does."""
    channel, chunk = raw[:1], raw[1:]
    if channel == bytes([STDIN]):
        return Message("input", chunk)
    if channel == bytes([_CLOSE]):
        return Message("close" if chunk == bytes([STDIN]) else "ignore")
    if channel == bytes([RESIZE]):
        return _resize(chunk)
    return Message("ignore")


def _resize(chunk: bytes) -> Message:
    try:
        size = msgspec.json.decode(chunk, type=dict[str, int])
    except msgspec.DecodeError:
        return Message("ignore")
    width, height = size.get("Width", 0), size.get("Height", 0)
    if not (0 <= width <= _LARGEST_TERMINAL and 0 <= height <= _LARGEST_TERMINAL):
        return Message("ignore")
    return Message("resize", size=(width, height))


def exit_status(code: int) -> Object:
    """Return the Status that tells a client how its command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class PodStreams:
    """Serves exec and attach from a node agent."""

    def __init__(self, store: Store, kubelet: Kubelet | None) -> None:
        self._store = store
        self._kubelet = kubelet

    async def serve(self, call: Call, offered: list[str], receive: Receive, send: Send) -> None:
        """Serve one WebSocket. Raises ApiError before it is accepted."""
        protocol = next((name for name in PROTOCOLS if name in offered), None)
        if protocol is None:
            raise BadRequest(
                f"unable to upgrade: unable to negotiate protocol: offered {offered}, want {list(PROTOCOLS)}"
            )
        options = StreamOptions.of(call.query, needs_command=call.subresource == "exec")
        pod = pod_on_node(self._store, call)
        container = container_of(pod, first(call.query, "container"))
        kubelet = agent(self._kubelet)
        # Once accepted, the client learns of a failure from the Status channel, as from a real kubelet.
        await send({"type": "websocket.accept", "subprotocol": protocol})
        try:
            session = await self._open(kubelet, call, container, options)
        except ApiError as error:
            await _send_status(send, error.status())
        else:
            await _converse(session, options, receive, send)
        await send({"type": "websocket.close", "code": 1000})

    async def _open(self, kubelet: Kubelet, call: Call, container: str, options: StreamOptions) -> ExecSession:
        place = (call.namespace, call.name, container)
        if call.subresource == "attach":
            return await kubelet.attach(
                *place, stdin=options.stdin, stdout=options.stdout, stderr=options.stderr, tty=options.tty
            )
        return await kubelet.exec(
            *place,
            options.command,
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            tty=options.tty,
        )


async def _converse(session: ExecSession, options: StreamOptions, receive: Receive, send: Send) -> None:
    if not options.stdin:
        await session.close_stdin()
    output = spawn(_copy_output(session, send), name="exec output")
    input_ = spawn(_copy_input(session, receive, wanted=options.stdin), name="exec input")
    try:
        await asyncio.wait([output, input_], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all([input_, output])
        await session.close()


async def _copy_output(session: ExecSession, send: Send) -> None:
    """Pass on all output and then the exit code."""
    while (part := await session.read()) is not None:
        channel, chunk = part
        await send({"type": "websocket.send", "bytes": bytes([channel]) + chunk})
    await _send_status(send, exit_status(await session.wait()))


async def _copy_input(session: ExecSession, receive: Receive, *, wanted: bool) -> None:
    """Pass on input until the client goes away."""
    while (message := await receive())["type"] != "websocket.disconnect":
        raw = message.get("bytes")
        if raw is None:
            raw = (message.get("text") or "").encode()
        parsed = parse_message(raw)
        if parsed.action == "resize":
            await session.resize(*parsed.size)
        elif wanted and parsed.action == "input":
            await session.write_stdin(parsed.chunk)
        elif wanted and parsed.action == "close":
            await session.close_stdin()


async def _send_status(send: Send, status: Object) -> None:
    await send({"type": "websocket.send", "bytes": bytes([STATUS]) + msgspec.json.encode(status)})

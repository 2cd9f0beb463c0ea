"""What the supervisor and netd say to each other over a Unix stream socket.

A frame is a header (length of the body, number of file descriptors) and a msgpack body; descriptors travel beside it
(SCM_RIGHTS) and are matched to frames by count, so a body may be longer than one `sendmsg`. A process is known by the
`id` of the request that started it. Pure: no sockets here. Next: `netd`, which answers.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from roadstead.node.network.services import ServiceTable
from roadstead.node.policy.table import PolicyChange, PolicyTable
from roadstead.node.usage import Usage

_HEADER = struct.Struct("!IB")
MAX_DESCRIPTORS = 16

Transport: TypeAlias = Literal["tcp", "udp"]


class Mount(msgspec.Struct, frozen=True):
    """Something that a container sees at `target`: a path of the host, or (`memory`) a tmpfs that the pod shares."""

    source: str
    target: str
    read_only: bool = False
    memory: bool = False


class CreateSandbox(msgspec.Struct, frozen=True, tag=True):
    """Make the namespaces that a pod's containers share. `files` are mounted read-only: path to text.

    Without an `address` (isolation `none`) there is no network namespace.
    """

    id: int
    key: str
    hostname: str
    address: str = ""
    files: dict[str, str] = {}


class StartContainer(msgspec.Struct, frozen=True, tag=True):
    """Start a container's process; its stdin, stdout and stderr come as descriptors.

    With a `terminal` none come: it is made inside, and its controlling side is sent back with `Done`.

    `visible` are paths that must be there although they lie in a folder that each container has for itself (/tmp);
    `hidden` are folders that it must not see.
    """

    id: int
    key: str
    argv: list[str]
    environment: dict[str, str]
    directory: str = "/"
    mounts: list[Mount] = []
    visible: list[str] = []
    hidden: list[str] = []
    user: int = 0
    group: int = 0
    read_only: bool = False
    limits: dict[str, int] = {}
    terminal: bool = False


class Execute(msgspec.Struct, frozen=True, tag=True):
    """Start a command inside a running container; descriptors and `terminal` are as in `StartContainer`."""

    id: int
    process: int
    argv: list[str]
    environment: dict[str, str]
    directory: str = "/"
    terminal: bool = False


class Signal(msgspec.Struct, frozen=True, tag=True):
    """Send a signal to a process; one that has ended is no error."""

    id: int
    process: int
    signal: int


class RemoveSandbox(msgspec.Struct, frozen=True, tag=True):
    """Kill what still runs in a sandbox and take it off the network; an unknown key is no error."""

    id: int
    key: str


class OpenSocket(msgspec.Struct, frozen=True, tag=True):
    """Ask for a socket that belongs to `source`: `node`, `edge` or a sandbox's key. The caller connects it."""

    id: int
    source: str
    transport: Transport = "tcp"


class Lend(msgspec.Struct, frozen=True, tag=True):
    """Lend TCP sockets of `source` to whoever has the other end of the packet socket that comes as a descriptor.

    It asks with one byte, a number, and gets a packet of that byte with as many sockets; fewer if there are no more.
    """

    id: int
    source: str


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Ask for a socket that is bound (and for TCP listens) in the network of `source`."""

    id: int
    source: str
    host: str
    port: int
    transport: Transport = "tcp"


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Ask what every container uses; the answer is `Measured`."""

    id: int


class ApplyServices(msgspec.Struct, frozen=True, tag=True):
    """Make the kernel serve exactly these Services."""

    id: int
    table: ServiceTable


class ApplyPolicies(msgspec.Struct, frozen=True, tag=True):
    """Make the kernel enforce exactly these policies."""

    id: int
    table: PolicyTable


class ChangePolicies(msgspec.Struct, frozen=True, tag=True):
    """Apply the difference to the last policy table."""

    id: int
    change: PolicyChange


Request: TypeAlias = (
    CreateSandbox | StartContainer | Execute | Signal | RemoveSandbox | OpenSocket | Lend | Listen
    | Measure | ApplyServices | ApplyPolicies | ChangePolicies
)  # fmt: skip


class Ready(msgspec.Struct, frozen=True, tag=True):
    """netd's first word: what this machine lacks, in words for the Node's conditions."""

    limitations: list[str] = []


class Unavailable(msgspec.Struct, frozen=True, tag=True):
    """netd's first and last word: why it cannot do its work here."""

    message: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """The request was carried out; a socket or a terminal comes as a descriptor."""

    id: int


class Measured(msgspec.Struct, frozen=True, tag=True):
    """What each container's processes use, by the id of the request that started the container."""

    id: int
    processes: dict[int, Usage]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request was not carried out."""

    id: int
    message: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    """A process ended: `code` as a shell reports it (128 + signal), `signal` 0 if it exited by itself."""

    process: int
    code: int
    signal: int
    at: float


Report: TypeAlias = Ready | Unavailable | Done | Measured | Failed | Exited


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as received: its undecoded body and the descriptors that came with it."""

    body: bytes
    descriptors: tuple[int, ...] = ()


def encode_frame(message: Request | Report, descriptors: Sequence[int] = ()) -> bytes:
    """Return the bytes of a frame; the sender attaches `descriptors` to its first byte."""
    body = msgspec.msgpack.encode(message)
    return _HEADER.pack(len(body), len(descriptors)) + body


_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def decode_request(body: bytes) -> Request:
    """Read a request. Raises msgspec.MsgspecError."""
    return _requests.decode(body)


def decode_report(body: bytes) -> Report:
    """Read a report. Raises msgspec.MsgspecError."""
    return _reports.decode(body)


def request_id(body: bytes) -> int:
    """Return the id of a request that could not be read as a whole, or 0."""
    try:
        return msgspec.msgpack.decode(body, type=_Identified).id
    except msgspec.MsgspecError:
        return 0


class _Identified(msgspec.Struct):
    id: int = 0


class FrameReader:
    """Puts frames together from what arrives; give it each `recvmsg`, then take the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, chunk: bytes, descriptors: Sequence[int] = ()) -> None:
        """Add received bytes and descriptors."""
        self._buffer += chunk
        self._descriptors.extend(descriptors)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are complete."""
        while len(self._buffer) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < _HEADER.size + length or len(self._descriptors) < count:
                return
            body = bytes(self._buffer[_HEADER.size : _HEADER.size + length])
            del self._buffer[: _HEADER.size + length]
            yield Frame(body, tuple(self._descriptors.popleft() for _ in range(count)))

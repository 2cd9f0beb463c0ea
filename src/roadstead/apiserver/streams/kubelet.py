"""What the API server asks of a node: logs, commands, connections and use of the machine of the pods that it runs.

Kubernetes proxies these subresources to the kubelet over HTTPS. Here the node agent lives in the same process and
implements `Kubelet`; `pod_streams` speaks to clients and calls it. Implementations raise `api.errors.ApiError`s
(`BadRequest` for a container that is not running, `NotFound` for one that does not exist); the client sees those.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from roadstead.api.objects import Object

STDOUT, STDERR = 1, 2
"""The channels that an `ExecSession` reads from: the numbers that the Kubernetes stream protocol gives them."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What part of a container's log is wanted (`PodLogOptions` in k8s.io/api core/v1 types.go).

    `since_time` is RFC 3339, `""` for none; `tail_lines`, `since_seconds` and `limit_bytes` are None for no limit.
    """

    follow: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str = ""
    timestamps: bool = False
    previous: bool = False
    limit_bytes: int | None = None


class ExecSession(Protocol):
    """A command, or an attachment, that runs in a container."""

    async def write_stdin(self, chunk: bytes) -> None:
        """Give the process input; waits while its pipe is full, and ignores a process that no longer reads."""

    async def close_stdin(self) -> None:
        """Let the process read end-of-file; with a terminal this is the terminal's end-of-file character."""

    async def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size in characters; without a terminal nothing happens."""

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next `(STDOUT | STDERR, bytes)`, None once all output was read; a terminal has only STDOUT."""

    async def wait(self) -> int:
        """Return the exit code (128 + signal for a killed process) once the process has ended."""

    async def close(self) -> None:
        """End what the client walked away from: an exec'd process is killed, an attachment let go. May be repeated."""


class Kubelet(Protocol):
    """The node agent as seen by the API server. `container` is always a name: the caller chose the default."""

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield the log, in chunks of any size; with `follow`, until the container ends or the iterator is closed."""

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        tty: bool,
    ) -> ExecSession:
        """Start a command in a container. Raises ApiError if it cannot be started."""

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> ExecSession:
        """Join the container's main process: its output from now on, and its input if it was made with `stdin`."""

    async def metrics(self, kind: str) -> Sequence[Object]:
        """Return the `PodMetrics` of all pods that run, or the `NodeMetrics` (metrics.k8s.io/v1beta1).

        Raises ServiceUnavailable where nothing can be measured.
        """

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port on the pod's loopback address. Raises ApiError if nothing accepts there."""

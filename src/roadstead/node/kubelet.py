"""What the API server asks of a node: logs, commands, attachments and connections of the pods that it runs.

It implements the `Kubelet` of the API server by structure: parts that are siblings do not import each other. Errors are
`ApiError`s, which the client sees.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from roadstead.api.errors import BadRequest, InternalError, NotFound, ServiceUnavailable
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.node.agent import Agent
from roadstead.node.container_logs import Selection, read_log
from roadstead.node.metering import Meter
from roadstead.node.netd_client import NetdError
from roadstead.node.pod_worker import PodWorker
from roadstead.node.records import containers_of
from roadstead.node.runtime import Runtime
from roadstead.node.sessions import Attachment, ProcessSession, RunningContainer
from roadstead.node.times import seconds as parse_time


class _LogOptions(Protocol):
    """What part of a log is wanted (`PodLogOptions`)."""

    @property
    def follow(self) -> bool: ...
    @property
    def tail_lines(self) -> int | None: ...
    @property
    def since_seconds(self) -> int | None: ...
    @property
    def since_time(self) -> str: ...
    @property
    def timestamps(self) -> bool: ...
    @property
    def previous(self) -> bool: ...
    @property
    def limit_bytes(self) -> int | None: ...


class NodeKubelet:
    """Answers for the pods of an agent; `folder` says where a pod's files are."""

    def __init__(self, agent: Agent, runtime: Runtime, folder: "PodFolder", meter: Meter) -> None:
        self._agent, self._runtime, self._folder, self._meter = agent, runtime, folder, meter

    async def logs(self, namespace: str, pod: str, container: str, options: _LogOptions) -> AsyncIterator[bytes]:
        """Yield a container's log. Raises NotFound, or BadRequest while there is none."""
        manifest = self._folder.pod(namespace, pod)
        if manifest is None:
            raise NotFound(f'pods "{pod}" not found')
        if container not in containers_of(manifest):
            raise BadRequest(f"container {container} is not valid for pod {pod}")
        path = _log_file(self._folder.of(manifest) / "logs" / container, previous=options.previous)
        if path is None:
            what = "previous terminated container" if options.previous else "container"
            raise BadRequest(
                f'{what} "{container}" in pod "{pod}" {"not found" if options.previous else "is waiting to start"}'
            )
        worker = self._agent.worker_of(namespace, pod)
        running = worker.running.get(container) if worker is not None else None
        live = running.log if running is not None and running.log.path == path else None
        async for chunk in read_log(path, live, _selection(options), tail=options.tail_lines, follow=options.follow):
            yield chunk

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
    ) -> ProcessSession:
        """Start a command in a container. Raises NotFound, BadRequest, InternalError."""
        worker, running = self._running(namespace, pod, container)
        request = worker.prepared[container].request
        environment = environment_of(command, request.environment, tty=tty)
        try:
            return await self._runtime.execute(
                running, command, environment, request.directory, stdin=stdin, terminal=tty
            )
        except NetdError as error:
            raise InternalError(f"cannot execute in container {container}: {error}") from error

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> Attachment:
        """Join a container's main process. Raises NotFound, BadRequest."""
        running = self._running(namespace, pod, container)[1]
        manifest = containers_of(self._folder.pod(namespace, pod) or {}).get(container) or {}
        return running.attach(stdin_once=bool(manifest.get("stdinOnce")))

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port on the pod's loopback address. Raises NotFound, BadRequest."""
        worker = self._worker(namespace, pod)
        host = "127.0.0.1" if self._runtime.isolated else worker.record.address
        try:
            connected = await self._runtime.connect(worker.sandbox_key, host, port)
        except (OSError, NetdError) as error:
            raise BadRequest(f"pod {pod} does not accept connections on port {port}: {error}") from error
        return await asyncio.open_connection(sock=connected)

    async def metrics(self, kind: str) -> Sequence[Object]:
        """Return the `PodMetrics` of the pods that run here, or the `NodeMetrics`. Raises ServiceUnavailable."""
        try:
            if kind == "PodMetrics":
                return await self._meter.pods()
            measured = await self._meter.node()
        except (NetdError, OSError, ValueError) as error:
            raise ServiceUnavailable(f"use of the machine cannot be measured: {error}") from error
        return [] if measured is None else [measured]

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        worker = self._agent.worker_of(namespace, pod)
        if worker is None:
            raise NotFound(f'pods "{pod}" not found')
        return worker

    def _running(self, namespace: str, pod: str, container: str) -> tuple[PodWorker, RunningContainer]:
        worker = self._worker(namespace, pod)
        record = worker.record.containers.get(container)
        if record is None:
            raise BadRequest(f"container {container} is not valid for pod {pod}")
        if not record.running:
            raise BadRequest(f"container {container} in pod {pod} is not running")
        return worker, worker.running[container]


class PodFolder(Protocol):
    """Where pods and their files are."""

    def pod(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """Return a pod of this node, running or ended."""

    def of(self, pod: ReadOnlyObject) -> Path:
        """Return its folder."""


def environment_of(command: Sequence[str], environment: Mapping[str, str], *, tty: bool) -> Mapping[str, str]:
    """Return the environment of a command that is executed in a container.

    A container has one user only, and nobody else to whom tar, which `kubectl cp` starts in the pod, could give what it
    unpacks: without being told so it fails after it has done everything else.
    """
    more: dict[str, str] = {"TERM": "xterm"} if tty else {}
    if PurePath(command[0]).name == "tar" and "TAR_OPTIONS" not in environment:
        more["TAR_OPTIONS"] = "--no-same-owner"
    return {**environment, **more}


def _selection(options: _LogOptions) -> Selection:
    since = 0.0
    if options.since_seconds is not None:
        since = time.time() - options.since_seconds
    elif options.since_time:
        try:
            since = parse_time(options.since_time)
        except ValueError as error:
            raise BadRequest(f"sinceTime {options.since_time!r} is not a time: {error}") from error
    return Selection(since, options.timestamps, options.limit_bytes)


def _log_file(folder: Path, *, previous: bool) -> Path | None:
    """Return the log of a container's last run, or of the one before."""
    numbers = sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdigit())
    place = -2 if previous else -1
    return folder / f"{numbers[place]}.log" if len(numbers) >= -place else None

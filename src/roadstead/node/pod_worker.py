"""One pod on this node, from acceptance to release: asks `plan` what to do, does it, and reports the status.

Every step's outcome goes into the record; nothing that a manifest says can end the worker. What all pods share
(runtime, events, images, objects) is in `Surroundings`. Next: `agent`, which has a worker per pod.
"""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from roadstead.api.errors import ApiError, NotFound
from roadstead.api.objects import Object, ReadOnlyObject, controller_of, key_of, metadata_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient, EventRecorder
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node import plan as planning
from roadstead.node.container_start import ContainerStart, Prepared, StartProblem
from roadstead.node.environment import Lookup, ReferenceProblem
from roadstead.node.hooks import run_hook
from roadstead.node.netd_client import NetdError
from roadstead.node.plan import plan
from roadstead.node.pod_spec import Names, etc_files, hostname_of, priority_of
from roadstead.node.pod_status import pod_status
from roadstead.node.pod_volumes import PodVolumes
from roadstead.node.probe_checks import check
from roadstead.node.prober import Prober
from roadstead.node.probes import probes_of
from roadstead.node.records import ContainerRecord, PodRecord, Stopping, containers_of, new_record
from roadstead.node.runtime import Runtime
from roadstead.node.sessions import STDOUT, RunningContainer
from roadstead.node.start_queue import StartGate
from roadstead.node.unsupported import without_effect

_log = structlog.get_logger(__name__)
_POD = resource("Pod")
_RETRY_FIRST, _RETRY_LONGEST = 0.5, 60.0
_API_RETRY = 1.0
_OUTPUT_LIMIT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's worker works with.

    `lookup` finds ConfigMaps and Secrets of a namespace, `allocate` and `release` give addresses, `admit` puts the
    policies of a pod with a new address in force before its first process, `gate` says when pods may start.
    """

    client: ApiClient
    runtime: Runtime
    events: EventRecorder
    starter: ContainerStart
    names: Names
    machine_dns: str
    host_address: str
    volumes: Callable[[ReadOnlyObject], PodVolumes]
    folder: Callable[[ReadOnlyObject], Path]
    lookup: Callable[[str], Lookup]
    allocate: Callable[[], str]
    release: Callable[[str], None]
    admit: Callable[[ReadOnlyObject, str], Awaitable[None]]
    gate: StartGate


class PodWorker:
    """Runs one pod. `update` tells it what the API server says; `run` ends when the pod is gone."""

    def __init__(self, pod: Object, surroundings: Surroundings) -> None:
        self.pod: Object | None = pod
        self.key = key_of(pod)
        self.record: PodRecord = new_record(pod, time.time())
        self.running: dict[str, RunningContainer] = {}
        self.prepared: dict[str, Prepared] = {}
        self.sandbox_key = f"{self.key}@{self.record.uid[:8]}"
        self._last = pod
        self._with = surroundings
        self._volumes = surroundings.volumes(pod)
        self._wake, self._report = asyncio.Event(), asyncio.Event()
        self._tasks: dict[str, list[asyncio.Task[Any]]] = {}

    def update(self, pod: Object | None) -> None:
        """Take the pod as the API server has it now; None once it has forgotten it."""
        self.pod = pod
        self._last = pod or self._last
        self.record.take_in(self._last)
        self.wake()

    def wake(self) -> None:
        """Plan again, and report what changed."""
        self._wake.set()
        self._report.set()

    async def run(self) -> None:
        """Do what the plan says until the pod is released."""
        reporter = spawn(self._report_status(), name=f"status of {self.key}")
        if ignored := without_effect(self._last, isolated=self._with.runtime.isolated):
            self._tell("Warning", "FieldHasNoEffect", "; ".join(ignored))
        try:
            while not self.record.released:
                await self._round()
        finally:
            self._with.gate.leave(self.record.uid)
            await cancel_all([reporter, *(task for tasks in self._tasks.values() for task in tasks)])

    async def _round(self) -> None:
        self._wake.clear()
        if self.record.admitted and self.record.settled:
            self._with.gate.leave(self.record.uid)
        step = plan(self.pod, self.record, time.time())
        for command in step.commands:
            try:
                await self._carry_out(command)
            except Exception as error:  # noqa: BLE001 (a fault of ours must not end the pod's only worker)
                _log.exception("command failed", pod=str(self.key), command=command)
                self.record.retry_at = time.time() + _RETRY_LONGEST
                self._tell("Warning", "FailedSync", f"{type(command).__name__}: {error}")
                await asyncio.sleep(_API_RETRY)
        self._report.set()
        if not step.commands:
            pause = None if step.wake_at is None else max(step.wake_at - time.time(), 0.001)
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _carry_out(self, command: planning.Command) -> None:
        match command:
            case planning.CreateSandbox():
                await self._create_sandbox()
            case planning.Queue():
                self.record.queued = True
                self._with.gate.ask(self.record.uid, self._owner(), priority_of(self._last), self._admitted)
            case planning.Start(name):
                await self._start(self.record.containers[name])
            case planning.Stop(name, grace, why):
                self._stop(self.record.containers[name], grace, why)
            case planning.Kill(name):
                await self._kill(self.record.containers[name])
            case planning.Postpone(name, reason, message):
                self.record.containers[name].postpone(reason, message)
                self._tell("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {self.key.name}")
            case planning.Fail(reason, message):
                self.record.failure = reason, message
                self._tell("Warning", reason, message)
            case planning.RemoveSandbox():
                await self._remove_sandbox()
            case planning.Release():
                await self._release()

    def _owner(self) -> str:
        return str((controller_of(self._last) or {}).get("uid") or self.record.uid)

    def _admitted(self) -> None:
        self.record.admitted = True
        self.wake()

    def _tell(self, type_: Any, reason: str, message: str) -> None:
        self._with.events.record(self._last, type_, reason, message)

    # Sandbox

    async def _create_sandbox(self) -> None:
        record, around = self.record, self._with
        address = around.allocate()
        try:
            await self._volumes.prepare(self._last, around.lookup(self.key.namespace))
            await around.admit(self._last, address)
            files = etc_files(self._last, address, around.names, around.machine_dns)
            await around.runtime.create_sandbox(self.sandbox_key, hostname_of(self._last), address, files)
        except (ReferenceProblem, NetdError) as error:
            around.release(address)
            reason = "FailedMount" if isinstance(error, ReferenceProblem) else "FailedCreatePodSandBox"
            self._tell("Warning", reason, str(error))
            record.retry_at = time.time() + _pause(record.failures)
            record.failures += 1
            return
        record.address, record.host_address, record.sandbox, record.failures = address, around.host_address, True, 0

    async def refresh_volumes(self) -> None:
        """Bring changed ConfigMaps, Secrets and labels into the volumes of a running pod."""
        if self.record.sandbox:
            try:
                await self._volumes.prepare(self._last, self._with.lookup(self.key.namespace))
            except ReferenceProblem as error:
                self._tell("Warning", "FailedMount", str(error))
        for container in self.record.containers.values():
            if container.reason == "CreateContainerConfigError":
                container.retry_at = 0.0
        self.record.retry_at = 0.0
        self.wake()

    async def _remove_sandbox(self) -> None:
        await self._with.runtime.remove_sandbox(self.sandbox_key)
        self.record.sandbox = False
        self._with.release(self.record.address)

    async def _release(self) -> None:
        """Report the end, then let the API server forget the pod; its files go with it."""
        if self.pod is not None:
            uid = metadata_of(self.pod).get("uid")
            try:
                await self._write_status(self._status())
                await self._with.client.delete(
                    _POD, self.key.name, self.key.namespace, grace_period_seconds=0, preconditions_uid=uid
                )
            except NotFound:
                pass
            except ApiError as error:
                _log.warning("pod not released yet", pod=str(self.key), error=error.message)
                await asyncio.sleep(_API_RETRY)
                return
        self.record.released = True
        await asyncio.to_thread(shutil.rmtree, self._with.folder(self._last), ignore_errors=True)

    # Containers

    async def _start(self, container: ContainerRecord) -> None:
        manifest = containers_of(self._last)[container.name]
        try:
            prepared = await self._with.starter.prepare(
                self._effective_pod(), manifest, self._volumes.sources, self._tell, self.sandbox_key
            )
            log = self._with.starter.open_log(self._with.folder(self._last), container)
            self._tell("Normal", "Created", f"Created container: {container.name}")
            running = await self._with.runtime.start_container(
                prepared.request, log, stdin=bool(manifest.get("stdin")), terminal=bool(manifest.get("tty"))
            )
        except StartProblem as problem:
            reason, message = problem.reason, problem.message
            if reason == "ErrImagePull" and container.failures:
                reason, message = "ImagePullBackOff", f'Back-off pulling image "{manifest.get("image")}": {message}'
            container.wait(reason, message, time.time() + _pause(container.failures))
            return
        except NetdError as error:
            log.close()
            self._tell("Warning", "Failed", f"Error: failed to start container {container.name!r}: {error}")
            container.fail_to_start(time.time(), str(error))
            return
        self._tell("Normal", "Started", f"Started container {container.name}")
        if target := manifest.get("targetContainerName"):
            instead = f"container {container.name} sees its own processes only, not those of {target}"
            self._tell("Warning", "FieldHasNoEffect", f"targetContainerName: {instead}")
        container.image_id = prepared.identity
        self.running[container.name], self.prepared[container.name] = running, prepared
        probes = probes_of(manifest)
        container.run(running.id, time.time(), probed=bool(probes))
        self._tasks[container.name] = [spawn(self._await_end(container, running), name=f"end of {container.name}")]
        if probes:
            self._spawn(container, self._prober(container, manifest).run(), "probes")
        if hook := (manifest.get("lifecycle") or {}).get("postStart"):
            self._spawn(container, self._post_start(container, hook), "postStart")

    def _spawn(self, container: ContainerRecord, work: Any, what: str) -> None:
        self._tasks.setdefault(container.name, []).append(spawn(work, name=f"{what} of {container.name}"))

    def _effective_pod(self) -> Object:
        """Return the pod with its addresses, which its status may not have yet."""
        addresses = {"podIP": self.record.address, "hostIP": self.record.host_address}
        return {**self._last, "status": {**(self._last.get("status") or {}), **addresses}}

    async def _await_end(self, container: ContainerRecord, running: RunningContainer) -> None:
        ended = await asyncio.shield(running.ended)
        for task in self._tasks.get(container.name, ())[1:]:
            task.cancel()
        message = ""
        if container.stopping is not None and container.unhealthy:
            message = container.unhealthy
        container.end(ended.code, ended.signal, ended.at or time.time(), message=message)
        self.wake()

    def _stop(self, container: ContainerRecord, grace: float, why: str) -> None:
        container.stopping = Stopping(time.time() + grace)
        self._tell("Normal", "Killing", why or f"Stopping container {container.name}")
        self._spawn(container, self._end_gracefully(container, grace), "stop")

    async def _end_gracefully(self, container: ContainerRecord, grace: float) -> None:
        manifest = containers_of(self._last).get(container.name) or {}
        if hook := (manifest.get("lifecycle") or {}).get("preStop"):
            try:
                async with asyncio.timeout(grace):
                    await self._run_hook(container, hook)
            except (TimeoutError, OSError, NetdError) as error:
                self._tell("Warning", "FailedPreStopHook", f"PreStopHook failed: {str(error) or 'no end in time'}")
        if container.name in self.running:
            await self._with.runtime.signal(self.running[container.name], signal.SIGTERM)

    async def _kill(self, container: ContainerRecord) -> None:
        if container.stopping is None:
            container.stopping = Stopping(time.time())
        container.stopping.killed = True
        await self._with.runtime.signal(self.running[container.name], signal.SIGKILL)

    async def _post_start(self, container: ContainerRecord, hook: ReadOnlyObject) -> None:
        try:
            await self._run_hook(container, hook)
        except (OSError, NetdError) as error:
            self._tell("Warning", "FailedPostStartHook", f"PostStartHook failed: {error}")
            container.unhealthy = f"FailedPostStartHook: container {container.name} is restarted"
            self.wake()

    async def _run_hook(self, container: ContainerRecord, hook: ReadOnlyObject) -> None:
        manifest = containers_of(self._last)[container.name]
        await run_hook(hook, manifest, self.record.address, self._dial, lambda argv: self._execute(container, argv))

    # Probes

    def _prober(self, container: ContainerRecord, manifest: Mapping[str, Any]) -> Prober:
        return Prober(
            container,
            probes_of(manifest),
            lambda probe: check(
                probe, manifest, self.record.address, self._dial, lambda argv: self._execute(container, argv)
            ),
            self.wake,
            lambda message: self._tell("Warning", "Unhealthy", message),
        )

    async def _dial(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=await self._with.runtime.connect("node", host, port))

    async def _execute(self, container: ContainerRecord, argv: Any) -> tuple[int, bytes]:
        """Run a command in a container to its end and return its exit code and output."""
        running, prepared = self.running[container.name], self.prepared[container.name]
        request = prepared.request
        session = await self._with.runtime.execute(running, argv, request.environment, request.directory)
        output = bytearray()
        try:
            while (chunk := await session.read()) is not None:
                if chunk[0] >= STDOUT and len(output) < _OUTPUT_LIMIT:
                    output += chunk[1]
            return await session.wait(), bytes(output[:_OUTPUT_LIMIT])
        finally:
            await session.close()

    # Status

    def _status(self) -> Object:
        return pod_status(self._last, self.record, time.time())

    async def _report_status(self) -> None:
        """Write the status whenever it differs from what was written."""
        written: Object | None = None
        while True:
            await self._report.wait()
            self._report.clear()
            status = self._status()
            if self.pod is None or status == written or status.items() <= (self._last.get("status") or {}).items():
                continue
            try:
                await self._write_status(status)
                written = status
            except NotFound:
                continue
            except ApiError as error:
                _log.warning("status not written", pod=str(self.key), error=error.message)
                await asyncio.sleep(_API_RETRY)
                self._report.set()

    async def _write_status(self, status: Object) -> None:
        gone = {} if "podIP" in status else {"podIP": None, "podIPs": None}
        patch = {"metadata": {"uid": self.record.uid}, "status": {**gone, **status}}
        stored = await self._with.client.patch(_POD, self.key.name, self.key.namespace, patch, subresource="status")
        self._last = {**self._last, "status": stored.get("status") or {}}


def _pause(failures: int) -> float:
    return float(min(_RETRY_FIRST * 2**failures, _RETRY_LONGEST))

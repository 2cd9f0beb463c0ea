"""What the node knows of a pod that it runs: its sandbox and, per container, where it stands and how it came there.

The agent changes these records as things happen; `plan` reads them to say what to do next, `pod_status` to say what to
report. Times are seconds since the epoch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from roadstead.api.objects import ReadOnlyObject, metadata_of
from roadstead.node.times import seconds

_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
_CALM = 600.0  # a container that ran for so long has recovered: the next crash counts as the first


class Role(Enum):
    """What a container is to its pod; a sidecar is an init container with `restartPolicy: Always`."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"
    EPHEMERAL = "ephemeral"
    """Added to a pod that runs, to look around in it: runs once, and nothing depends on it."""


class State(Enum):
    """Where a container stands."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container's process ended."""

    code: int
    reason: str
    started_at: float
    finished_at: float
    signal: int = 0
    message: str = ""


@dataclass(slots=True)
class Stopping:
    """A container that was asked to end: when it will be killed, and whether it was."""

    deadline: float
    killed: bool = False


@dataclass(slots=True)
class ContainerRecord:
    """One container. `reason` and `message` say why it waits; `unhealthy` why a probe wants it restarted.

    `grace` is the time that the failed probe leaves it, where the probe has its own.
    """

    name: str
    role: Role
    state: State = State.WAITING
    reason: str = "ContainerCreating"
    message: str = ""
    process: int = 0
    started_at: float = 0.0
    started: bool = False
    ready: bool = False
    termination: Termination | None = None
    last: Termination | None = None
    restarts: int = 0
    restarting: bool = False
    crashes: int = 0
    retry_at: float = 0.0
    failures: int = 0
    stopping: Stopping | None = None
    unhealthy: str = ""
    grace: float | None = None
    image_id: str = ""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.state is State.RUNNING

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.state is State.TERMINATED and self.termination is not None and self.termination.code == 0

    @property
    def failed(self) -> bool:
        """Whether it ended with another exit code."""
        return self.state is State.TERMINATED and self.termination is not None and self.termination.code != 0

    def run(self, process: int, now: float, *, probed: bool) -> None:
        """Its process was started; without probes (`probed` false) it is ready at once."""
        self._count_restart()
        self.state, self.reason, self.message, self.restarting = State.RUNNING, "", "", False
        self.process, self.started_at, self.termination = process, now, None
        self.started = self.ready = not probed
        self.failures, self.stopping, self.unhealthy, self.grace = 0, None, "", None

    def fail_to_start(self, now: float, message: str) -> None:
        """Its process could not be started: as in Kubernetes, that is a run which ended at once."""
        self._count_restart()
        self.restarting, self.started_at = False, now
        self.end(128, 0, now, reason="StartError", message=message)

    def _count_restart(self) -> None:
        if self.termination is not None or self.restarting:
            self.last, self.restarts = self.termination or self.last, self.restarts + 1

    def end(self, code: int, signal: int, now: float, *, reason: str = "", message: str = "") -> None:
        """Its process ended. A restart may come after a pause that grows with every crash (kubelet: 10 s to 5 min)."""
        word = reason or ("Completed" if code == 0 else "Error")
        started = self.started_at or now
        self.termination = Termination(code, word, started, now, signal, message)
        self.state, self.process, self.reason, self.message = State.TERMINATED, 0, "", ""
        self.started = self.ready = False
        self.stopping = None
        if now - started >= _CALM:
            self.crashes = 0
        self.retry_at = now + self.restart_delay
        self.crashes += 1

    @property
    def restart_delay(self) -> float:
        """The pause before the next restart: none after the first crash."""
        return 0.0 if self.crashes == 0 else min(_FIRST_DELAY * 2 ** (self.crashes - 1), _LONGEST_DELAY)

    def postpone(self, reason: str, message: str) -> None:
        """It ended and will be started again, but not yet: `CrashLoopBackOff`."""
        self.reason, self.message = reason, message

    def wait(self, reason: str, message: str, retry_at: float) -> None:
        """It could not be started; try again later."""
        if self.termination is not None:
            self.last, self.termination, self.restarting = self.termination, None, True
        self.state, self.reason, self.message = State.WAITING, reason, message
        self.retry_at, self.failures = retry_at, self.failures + 1


@dataclass(slots=True)
class PodRecord:
    """One pod on this node. `failure` ends it as a whole: reason and message of its phase `Failed`.

    `queued` says that it waits for its turn to start, or has waited; `admitted` that its turn has come.
    """

    uid: str
    containers: dict[str, ContainerRecord]
    address: str = ""
    host_address: str = ""
    sandbox: bool = False
    queued: bool = False
    admitted: bool = False
    accepted_at: float = 0.0
    retry_at: float = 0.0
    failures: int = 0
    problem: str = ""
    failure: tuple[str, str] | None = None
    released: bool = False

    def of_role(self, *roles: Role) -> Iterator[ContainerRecord]:
        """Yield the containers with these roles, in the manifest's order."""
        return (record for record in self.containers.values() if record.role in roles)

    @property
    def settled(self) -> bool:
        """Whether it has started as far as it will for now: its containers are ready, or one of them failed to be."""
        mains = list(self.of_role(Role.MAIN))
        lasting = self.of_role(Role.INIT, Role.SIDECAR, Role.MAIN)
        failed = any(record.failures or (record.failed and record.crashes) for record in lasting)
        return failed or all(record.ready for record in mains)

    def take_in(self, pod: ReadOnlyObject) -> None:
        """Note the ephemeral containers that a pod was given since."""
        for name, role in roles_of(pod).items():
            if role is Role.EPHEMERAL and name not in self.containers:
                self.containers[name] = ContainerRecord(name, role)

    @property
    def busy(self) -> bool:
        """Whether a container's process runs."""
        return any(record.running for record in self.containers.values())


def containers_of(pod: ReadOnlyObject) -> dict[str, Mapping[str, Any]]:
    """Return all containers of a pod by name, init containers first, ephemeral ones last."""
    spec = pod.get("spec") or {}
    fields = ("initContainers", "containers", "ephemeralContainers")
    return {entry["name"]: entry for field_ in fields for entry in spec.get(field_) or ()}


def roles_of(pod: ReadOnlyObject) -> dict[str, Role]:
    """Return the role of each container, init containers first, ephemeral ones last."""
    spec = pod.get("spec") or {}
    roles = {}
    for entry in spec.get("initContainers") or ():
        roles[entry["name"]] = Role.SIDECAR if entry.get("restartPolicy") == "Always" else Role.INIT
    roles |= {entry["name"]: Role.MAIN for entry in spec.get("containers") or ()}
    return roles | {entry["name"]: Role.EPHEMERAL for entry in spec.get("ephemeralContainers") or ()}


def new_record(pod: ReadOnlyObject, now: float) -> PodRecord:
    """Return the record of a pod that this node takes on.

    Init containers run again, as in Kubernetes when a node was started again. What the status tells of an earlier life
    of this node is kept: counts of restarts, how containers ended. A container that ran then counts as killed, so that
    it is restarted or, with `restartPolicy: Never`, has failed.
    """
    status = pod.get("status") or {}
    finished = status.get("phase") in ("Succeeded", "Failed")
    reported = {entry["name"]: entry for entry in _reported(status)}
    restored = {
        name: _restored(name, role, reported.get(name) or {}, now, finished=finished)
        for name, role in roles_of(pod).items()
    }
    record = PodRecord(
        str(metadata_of(pod).get("uid") or ""), restored, accepted_at=_seconds(status.get("startTime"), now)
    )
    if status.get("phase") == "Failed" and status.get("reason"):
        record.failure = status["reason"], status.get("message") or ""
    return record


def _reported(status: ReadOnlyObject) -> list[Mapping[str, Any]]:
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [entry for field_ in fields for entry in status.get(field_) or ()]


def _restored(name: str, role: Role, reported: Mapping[str, Any], now: float, *, finished: bool) -> ContainerRecord:
    record = ContainerRecord(name, role, restarts=int(reported.get("restartCount") or 0))
    state = reported.get("state") or {}
    last = (reported.get("lastState") or {}).get("terminated")
    record.last = _termination(last, now) if last else None
    if role is Role.INIT and not finished:
        record.reason = "PodInitializing"
    elif ended := state.get("terminated"):
        record.state, record.termination, record.reason = State.TERMINATED, _termination(ended, now), ""
    elif running := state.get("running"):
        started = _seconds(running.get("startedAt"), now)
        record.state, record.reason = State.TERMINATED, ""
        record.termination = Termination(137, "Error", started, now, 9, "The node that ran this container ended")
    return record


def _termination(reported: Mapping[str, Any], now: float) -> Termination:
    return Termination(
        int(reported.get("exitCode") or 0),
        reported.get("reason") or "Error",
        _seconds(reported.get("startedAt"), now),
        _seconds(reported.get("finishedAt"), now),
        int(reported.get("signal") or 0),
        reported.get("message") or "",
    )


def _seconds(text: str | None, fallback: float) -> float:
    try:
        return seconds(text) if text else fallback
    except ValueError:
        return fallback

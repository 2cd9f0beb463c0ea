"""What to do next about a pod: `plan(pod, record, now)` returns commands and when to look again. Pure.

The agent carries out the commands in order, notes in the record what came of them, and asks again: after every command,
when a process ends, when a probe or the API changes something, and at `wake_at`. Next: `agent`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from roadstead.api.objects import ReadOnlyObject, is_deleting, metadata_of
from roadstead.node.records import ContainerRecord, PodRecord, Role, State

_DEFAULT_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Give the pod its namespaces, address and volumes."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait for the pod's turn to start."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a container."""

    container: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask a container to end: its preStop hook, then SIGTERM; `why` is for people."""

    container: str
    grace: float
    why: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End a container that did not end in its grace period."""

    container: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Let a container wait until its next start, and say so."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the pod as a whole: its phase becomes Failed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Take the pod's namespaces and address away."""


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing of a deleted pod is left: let the API server forget it."""


Command: TypeAlias = CreateSandbox | Queue | Start | Stop | Kill | Postpone | Fail | RemoveSandbox | Release


@dataclass(frozen=True, slots=True)
class Plan:
    """Commands to carry out in order; without any, look again at `wake_at` (None: only when something happens)."""

    commands: tuple[Command, ...] = ()
    wake_at: float | None = None


def plan(pod: ReadOnlyObject | None, record: PodRecord, now: float) -> Plan:
    """Say what to do next. `pod` is None once the API server has forgotten it; then everything ends at once."""
    if pod is None or is_deleting(pod):
        return _wind_down(pod, record, now, deleted=True)
    if record.failure is not None or is_complete(pod, record):
        return _wind_down(pod, record, now, deleted=False)
    if (deadline := _active_deadline(pod, record)) is not None and now >= deadline:
        return Plan((Fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),))
    if not record.sandbox:
        return Plan((CreateSandbox(),)) if now >= record.retry_at else Plan(wake_at=record.retry_at)
    if not record.admitted:
        return _earlier(Plan(() if record.queued else (Queue(),)), deadline)
    return _earlier(_run(pod, record, now), deadline)


def is_complete(pod: ReadOnlyObject, record: PodRecord) -> bool:
    """Say whether the pod has done all it will ever do: its phase is Succeeded or Failed."""
    policy = restart_policy(pod)
    if policy == "Never" and any(init.failed for init in record.of_role(Role.INIT)):
        return True
    mains = list(record.of_role(Role.MAIN))
    ended = all(main.state is State.TERMINATED for main in mains)
    return ended and not any(_restarts(main, policy) for main in mains)


def restart_policy(pod: ReadOnlyObject) -> str:
    """Return `spec.restartPolicy`: Always, OnFailure or Never."""
    return str((pod.get("spec") or {}).get("restartPolicy") or "Always")


def grace_period(pod: ReadOnlyObject | None) -> float:
    """Return how long the pod's containers have to end: what the deletion asks for, else what the manifest says."""
    if pod is None:
        return 0.0
    asked = metadata_of(pod).get("deletionGracePeriodSeconds")
    wanted = asked if asked is not None else (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return _DEFAULT_GRACE if wanted is None else max(float(wanted), 0.0)


def _active_deadline(pod: ReadOnlyObject, record: PodRecord) -> float | None:
    seconds = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return None if seconds is None else record.accepted_at + float(seconds)


def _restarts(container: ContainerRecord, policy: str) -> bool:
    if container.role in (Role.SIDECAR, Role.EPHEMERAL):
        return container.role is Role.SIDECAR
    if container.role is Role.INIT:
        return container.failed and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and container.failed)


def _wind_down(pod: ReadOnlyObject | None, record: PodRecord, now: float, *, deleted: bool) -> Plan:
    grace = grace_period(pod)
    steps = [_end(container, grace, "", now) for container in record.containers.values() if container.running]
    if steps:
        return _together(steps)
    if record.sandbox:
        return Plan((RemoveSandbox(),))
    if deleted and not record.released:
        return Plan((Release(),))
    return Plan()


def _end(container: ContainerRecord, grace: float, why: str, now: float) -> Plan:
    stopping = container.stopping
    if stopping is None and grace > 0:
        return Plan((Stop(container.name, grace, why),))
    deadline = min(stopping.deadline, now + grace) if stopping is not None else now
    if now < deadline:
        return Plan(wake_at=deadline)
    return Plan() if stopping is not None and stopping.killed else Plan((Kill(container.name),))


def _run(pod: ReadOnlyObject, record: PodRecord, now: float) -> Plan:
    policy = restart_policy(pod)
    steps = [_tend(pod, container, policy, now) for container in record.of_role(Role.EPHEMERAL)]
    for container in record.of_role(Role.INIT, Role.SIDECAR, Role.MAIN):
        steps.append(_tend(pod, container, policy, now))
        if container.role is not Role.MAIN and _blocks(container):
            break
    return _together(steps)


def _blocks(container: ContainerRecord) -> bool:
    """Say whether the containers after an init container have to wait for it."""
    return not container.started if container.role is Role.SIDECAR else not container.succeeded


def _tend(pod: ReadOnlyObject, container: ContainerRecord, policy: str, now: float) -> Plan:
    if container.running:
        if container.stopping is None and not container.unhealthy:
            return Plan()
        grace = container.grace if container.grace is not None else grace_period(pod)
        return _end(container, grace, container.unhealthy, now)
    if container.state is State.TERMINATED and not _restarts(container, policy):
        return Plan()
    if now >= container.retry_at:
        return Plan((Start(container.name),))
    if container.state is State.TERMINATED and container.reason != "CrashLoopBackOff":
        message = f"back-off {_span(container.retry_at - now)} restarting failed container={container.name}"
        return Plan((Postpone(container.name, "CrashLoopBackOff", f"{message} pod={_name(pod)}"),))
    return Plan(wake_at=container.retry_at)


def _name(pod: ReadOnlyObject) -> str:
    metadata = metadata_of(pod)
    return f"{metadata.get('name')}_{metadata.get('namespace')}({metadata.get('uid')})"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _together(plans: Iterable[Plan]) -> Plan:
    gathered = list(plans)
    commands = tuple(command for one in gathered for command in one.commands)
    times = [one.wake_at for one in gathered if one.wake_at is not None]
    return Plan(commands, min(times, default=None))


def _earlier(one: Plan, deadline: float | None) -> Plan:
    if deadline is None:
        return one
    return Plan(one.commands, deadline if one.wake_at is None else min(one.wake_at, deadline))

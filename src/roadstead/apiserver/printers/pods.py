"""Pods: the one status column that a dozen fields go into."""

from datetime import datetime

from roadstead.api.conditions import is_true
from roadstead.api.objects import ReadOnlyObject, is_deleting
from roadstead.apiserver.printers.cells import (
    NONE,
    Cells,
    Printer,
    age,
    columns,
    containers_and_images,
    labels_text,
    since,
    spec_of,
    status_of,
)


def _pod(pod: ReadOnlyObject, now: datetime) -> Cells:
    spec, status = spec_of(pod), status_of(pod)
    init, count, last = _restarts(spec, status)
    ready = sum(_is_ready(entry) for entry in status.get("containerStatuses") or ()) if init is None else 0
    ready += _ready_sidecars(spec, status)
    total = len(spec.get("containers") or ()) + len(_sidecars(spec))
    restarts = f"{count} ({since(last, now)} ago)" if count and last else str(count)
    name = pod["metadata"]["name"]
    addresses = status.get("podIPs") or ({"ip": status.get("podIP")},)
    return [
        name,
        f"{ready}/{total}",
        _reason(pod, init),
        restarts,
        age(pod, now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _sidecars(spec: ReadOnlyObject) -> set[str]:
    """Return the names of the init containers that run beside the others (restartPolicy Always)."""
    return {c.get("name", "") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _ready_sidecars(spec: ReadOnlyObject, status: ReadOnlyObject) -> int:
    sidecars = _sidecars(spec)
    statuses = status.get("initContainerStatuses") or ()
    return sum(bool(s.get("started") and s.get("ready")) for s in statuses if s.get("name") in sidecars)


def _is_ready(status: ReadOnlyObject) -> bool:
    return bool(status.get("ready")) and "running" in (status.get("state") or {})


def _restarts(spec: ReadOnlyObject, status: ReadOnlyObject) -> tuple[str | None, int, str]:
    """Return the reason of an unfinished initialization if there is one, restarts, and when the last was."""
    reason = _initializing(spec, status)
    if reason is not None and is_true(status.get("conditions"), "Initialized"):
        reason = None
    counted = list(status.get("initContainerStatuses") or ())
    if reason is None:
        sidecars = _sidecars(spec)
        counted = [entry for entry in counted if entry.get("name") in sidecars]
        counted += status.get("containerStatuses") or ()
    ends = [((entry.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for entry in counted]
    return reason, sum(entry.get("restartCount") or 0 for entry in counted), max(ends, default="")


def _initializing(spec: ReadOnlyObject, status: ReadOnlyObject) -> str | None:
    """Return `Init:...` for the first init container that has not done its part."""
    sidecars, total = _sidecars(spec), len(spec.get("initContainers") or ())
    for index, entry in enumerate(status.get("initContainerStatuses") or ()):
        state = entry.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if entry.get("name") in sidecars and entry.get("started"):
            continue
        if ended is not None:
            return f"Init:{ended.get('reason') or _exit(ended)}"
        if waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _exit(ended: ReadOnlyObject) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _reason(pod: ReadOnlyObject, initializing: str | None) -> str:
    status = status_of(pod)
    phase = status.get("phase") or ""
    reason = status.get("reason") or phase
    if any(c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()):
        reason = "SchedulingGated"
    reason = _containers_reason(status, reason) if initializing is None else initializing
    if is_deleting(pod) and status.get("reason") == "NodeLost":
        return "Unknown"
    if is_deleting(pod) and phase not in ("Succeeded", "Failed"):
        return "Terminating"
    return str(reason)


def _containers_reason(status: ReadOnlyObject, reason: str) -> str:
    """Return what the containers say: the first one that waits or has ended gives the word."""
    failure, running = "", False
    for entry in reversed(status.get("containerStatuses") or ()):
        state = entry.get("state") or {}
        ended = state.get("terminated")
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
            failure = reason if ended.get("exitCode") else failure
        elif _is_ready(entry):
            running = True
    if reason != "Completed":
        return reason
    if running and is_true(status.get("conditions"), "Ready"):
        return "Running"
    return failure or ("NotReady" if running else reason)


def _gates(spec: ReadOnlyObject, status: ReadOnlyObject) -> str:
    gates = [gate.get("conditionType", "") for gate in spec.get("readinessGates") or ()]
    passed = sum(is_true(status.get("conditions"), gate) for gate in gates)
    return f"{passed}/{len(gates)}" if gates else NONE


def _pod_template(obj: ReadOnlyObject, now: datetime) -> Cells:
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    return [obj["metadata"]["name"], *containers_and_images(template), labels_text(labels)]


PRINTERS = {
    ("", "Pod"): Printer(
        columns(
            ("Name", "Ready", "Status", "Restarts", "Age"),
            ("IP", "Node", "Nominated Node", "Readiness Gates"),
        ),
        _pod,
    ),
    ("", "PodTemplate"): Printer(columns(("Name", "Containers", "Images", "Pod Labels")), _pod_template),
}

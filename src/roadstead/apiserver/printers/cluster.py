"""Nodes, namespaces, events, leases, priorities, and what pods and nodes use."""

import math
from collections.abc import Sequence
from datetime import datetime

from roadstead.api.conditions import find_condition, is_true
from roadstead.api.objects import ReadOnlyObject, labels_of
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver.printers.cells import (
    NONE,
    UNKNOWN,
    Cells,
    Column,
    Printer,
    age,
    columns,
    since,
    spec_of,
    status_of,
)

_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def _node(obj: ReadOnlyObject, now: datetime) -> Cells:
    status = status_of(obj)
    info = status.get("nodeInfo") or {}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        obj["metadata"]["name"],
        _node_status(obj),
        _roles(obj),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: ReadOnlyObject) -> str:
    ready = find_condition(status_of(obj).get("conditions"), "Ready")
    text = "Unknown"
    if ready is not None:
        text = "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if spec_of(obj).get("unschedulable") else text


def _roles(obj: ReadOnlyObject) -> str:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels_of(obj) if key.startswith(_ROLE_PREFIX)}
    roles.add(labels_of(obj).get(_ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or NONE


def _address(status: ReadOnlyObject, type_: str) -> str:
    addresses = status.get("addresses") or ()
    return next((str(entry["address"]) for entry in addresses if entry.get("type") == type_), NONE)


def _namespace(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], status_of(obj).get("phase", ""), age(obj, now)]


def _event(obj: ReadOnlyObject, now: datetime) -> Cells:
    """Print a core Event or one of events.k8s.io, which has other names for the same things."""
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    first = since(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    last_time = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last_time, count = series.get("lastObservedTime"), series.get("count", 0)
    kind, name = involved.get("kind", "").lower(), involved.get("name")
    return [
        since(last_time, now) if last_time else first,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        _source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        obj["metadata"]["name"],
    ]


def _source(obj: ReadOnlyObject) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    controller = obj.get("reportingComponent") or obj.get("reportingController") or ""
    parts = (source.get("component") or controller, source.get("host") or obj.get("reportingInstance") or "")
    return ", ".join(part for part in parts if part)


def _lease(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], spec_of(obj).get("holderIdentity", ""), age(obj, now)]


def _definition(obj: ReadOnlyObject, now: datetime) -> Cells:
    spec = obj["spec"]
    served = [version for version in spec["versions"] if version.get("served")]
    names = [version["name"] + ("(storage)" if version.get("storage") else "") for version in served]
    return [
        obj["metadata"]["name"],
        spec["scope"],
        ",".join(sorted(names)),
        obj["metadata"].get("creationTimestamp"),
        spec["group"],
        spec["names"]["kind"],
        ",".join(spec["names"].get("shortNames") or ()),
        is_true((obj.get("status") or {}).get("conditions") or (), "Established"),
    ]


def _priority_class(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [
        obj["metadata"]["name"],
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


_EVENT = Printer(
    (
        *columns(("Last Seen", "Type", "Reason", "Object"), ("Subobject", "Source")),
        Column("Message"),
        *columns((), ("First Seen", "Count", "Name")),
    ),
    _event,
)


def _pod_metrics(obj: ReadOnlyObject, now: datetime) -> Cells:
    used = [container.get("usage") or {} for container in obj.get("containers") or ()]
    return [obj["metadata"]["name"], *_sums(used), obj.get("window", "")]


def _node_metrics(obj: ReadOnlyObject, now: datetime) -> Cells:
    return [obj["metadata"]["name"], *_sums([obj.get("usage") or {}]), obj.get("window", "")]


def _sums(used: Sequence[ReadOnlyObject]) -> Cells:
    """Return the CPU in thousandths and the memory in MiB, as `kubectl top` shows them."""
    cpu = sum(parse_quantity(each.get("cpu", "0")) for each in used)
    memory = sum(parse_quantity(each.get("memory", "0")) for each in used)
    return [f"{math.ceil(cpu * 1000)}m", f"{int(memory) // 1024**2}Mi"]


PRINTERS = {
    ("metrics.k8s.io", "PodMetrics"): Printer(columns(("Name", "CPU", "Memory", "Window")), _pod_metrics),
    ("metrics.k8s.io", "NodeMetrics"): Printer(columns(("Name", "CPU", "Memory", "Window")), _node_metrics),
    ("", "Node"): Printer(
        columns(
            ("Name", "Status", "Roles", "Age", "Version"),
            ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
        _node,
    ),
    ("", "Namespace"): Printer(columns(("Name", "Status", "Age")), _namespace),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("coordination.k8s.io", "Lease"): Printer(columns(("Name", "Holder", "Age")), _lease),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Printer(
        (
            *columns(("Name", "Scope", "Versions")),
            Column("Created At", "date"),
            *columns((), ("Group", "Kind", "ShortNames")),
            Column("Established", "boolean", wide=True),
        ),
        _definition,
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        (
            Column("Name"),
            Column("Value", "integer"),
            Column("Global-Default", "boolean"),
            Column("Age"),
            Column("PreemptionPolicy"),
        ),
        _priority_class,
    ),
}

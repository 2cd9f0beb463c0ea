"""Probes and lifecycle hooks of containers."""

from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, not_negative, one_of

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probes(container: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with the probes of a container."""
    found: Causes = []
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(kind) is not None:
            found += _probe(container[kind], kind, f"{path}.{kind}")
    return found


def _probe(probe: ReadOnlyObject, kind: str, path: str) -> Causes:
    found = handler(probe, path) + not_negative(probe, path, *_NUMBERS)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        found.append(causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if kind == "readinessProbe":
        if grace is not None:
            detail = "must not be set for readinessProbes"
            found.append(causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, detail))
    elif probe.get("successThreshold") != 1:
        found.append(causes.invalid(f"{path}.successThreshold", probe.get("successThreshold"), "must be 1"))
    return found


def hooks(container: ReadOnlyObject, path: str, grace: int | None) -> Causes:
    """Return what is wrong with the lifecycle hooks of a container that has so many seconds to end."""
    lifecycle = container.get("lifecycle") or {}
    found: Causes = []
    for kind in ("postStart", "preStop"):
        if lifecycle.get(kind) is not None:
            where = f"{path}.lifecycle.{kind}"
            found += handler(lifecycle[kind], where) + _nap(lifecycle[kind].get("sleep"), f"{where}.sleep", grace)
    return found


def _nap(action: ReadOnlyObject | None, path: str, grace: int | None) -> Causes:
    """A hook cannot sleep longer than the container is given to end."""
    seconds, limit = (action or {}).get("seconds", 0), 30 if grace is None else grace
    if action is None or 0 <= seconds <= limit:
        return []
    detail = f"must be non-negative and less than terminationGracePeriodSeconds ({limit})"
    return [causes.invalid(path, seconds, detail)]


def handler(action: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with what a probe or hook does; it must do exactly one thing."""
    given = [kind for kind in _HANDLERS if action.get(kind) is not None]
    if not given:
        return [causes.required(path, "must specify a handler type")]
    found = _CHECKS[given[0]](action[given[0]], f"{path}.{given[0]}")
    detail = "may not specify more than 1 handler type"
    return found + [causes.forbidden(f"{path}.{kind}", detail) for kind in given[1:]]


def _exec(action: ReadOnlyObject, path: str) -> Causes:
    return [] if action.get("command") else [causes.required(f"{path}.command")]


def _port(action: ReadOnlyObject, path: str) -> Causes:
    value: Any = action.get("port", 0)
    return complain(f"{path}.port", value, names.port_or_name_complaints(value))


def _http(action: ReadOnlyObject, path: str) -> Causes:
    found = _port(action, path)
    found += one_of(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        found += complain(f"{path}.httpHeaders", name, names.header_complaints(name))
    return found


def _sleep(action: ReadOnlyObject, path: str) -> Causes:
    return []


_CHECKS = {"exec": _exec, "httpGet": _http, "tcpSocket": _port, "grpc": _port, "sleep": _sleep}

"""What the gateway would say of these manifests: every condition that is not as wished, and every notice.

The translation is the gateway's own. What it leaves alone because it is not its business, a Gateway of another class
or a route to a Gateway that is not there, is said here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roadstead.api.objects import ObjectKey
from roadstead.cluster.checks.finding import Checked, Finding, Severity
from roadstead.gateway.resources import CONTROLLER_NAME, GATEWAY_GROUP
from roadstead.gateway.statuses import ANNOTATIONS_USABLE, CERTIFICATE_USABLE
from roadstead.gateway.translate import Translation
from roadstead.gateway.translate.nginx import PREFIX
from roadstead.gateway.translate.notices import Notice

_WISHED: Mapping[str, tuple[str, Severity]] = {
    "Accepted": ("True", "error"),
    "ResolvedRefs": ("True", "error"),
    "Conflicted": ("False", "error"),
    "PartiallyInvalid": ("False", "error"),
    CERTIFICATE_USABLE: ("True", "error"),
    ANNOTATIONS_USABLE: ("True", "error"),
    "InsecureFrontendValidationMode": ("False", "warning"),
}
_SAID_ELSEWHERE = {"ListenersNotValid", "Pending"}
"""Reasons that are told at a listener, or that only a running cluster can do away with."""
_FIELD = r"(?:spec|metadata|tls|hostname|allowedRoutes|port|protocol)(?:[.\[][\w.\[\]/-]*)?"
_AT_FIELD = re.compile(rf"({_FIELD}): (.*)", re.DOTALL)
_BETWEEN = re.compile(rf"; (?={_FIELD}: )")
_DROPPED = "Dropped Rule: "
_ROUTES = ("GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute")


def check_routing(objects: Iterable[Checked], translation: Translation) -> Iterator[Finding]:
    """Yield what is not as wished of Gateways, routes, Ingresses and policies."""
    listed = list(objects)
    subjects = {(one.kind, one.key): one for one in listed}
    stated = {(update.kind, update.key) for update in translation.statuses}
    for update in translation.statuses:
        subject = subjects.get((update.kind, update.key))
        if subject is not None:
            for field, condition in _conditions(subject, update.status):
                yield from _judged(subject, field, condition)
    for notice in translation.notices:
        subject = subjects.get((notice.regarding["kind"], _key(notice.regarding)))
        if subject is not None:
            severity: Severity = "warning" if notice.reason == "Ignored" else "error"
            yield from _sentences(subject, _noticed_field(notice), notice.message, severity)
    yield from _unserved(listed, subjects, stated)


def _noticed_field(notice: Notice) -> str:
    """Return the field of an Ingress that a notice is about, unless its message begins with one."""
    if notice.reason == "CertificateNotUsable":
        return "spec.tls"
    return "metadata.annotations" if PREFIX in notice.message else "spec"


def _key(obj: Mapping[str, Any]) -> ObjectKey:
    return ObjectKey(obj["metadata"].get("namespace") or "", obj["metadata"]["name"])


def _conditions(subject: Checked, status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each condition of a status with the field of the manifest that it is about."""
    spec = subject.object.get("spec") or {}
    for condition in status.get("conditions") or ():
        yield "spec", condition
    names = [listener.get("name") for listener in spec.get("listeners") or ()]
    for listener in status.get("listeners") or ():
        place = f"spec.listeners[{names.index(listener['name'])}]" if listener["name"] in names else "spec.listeners"
        for condition in listener["conditions"]:
            yield place, condition
    for parent in status.get("parents") or ():
        place = _place_of(parent["parentRef"], spec.get("parentRefs") or ())
        for condition in parent["conditions"]:
            yield place, condition
    for ancestor in status.get("ancestors") or ():
        for condition in ancestor["conditions"]:
            yield "spec", condition


def _place_of(reference: Mapping[str, Any], stated: Iterable[Mapping[str, Any]]) -> str:
    for number, one in enumerate(stated):
        if all(one.get(name) == reference.get(name) for name in ("name", "namespace", "sectionName", "port")):
            return f"spec.parentRefs[{number}]"
    return "spec.parentRefs"


def _judged(subject: Checked, field: str, condition: Mapping[str, Any]) -> Iterator[Finding]:
    wished, severity = _WISHED.get(condition["type"], ("", "error"))
    if wished and condition["status"] != wished and condition["reason"] not in _SAID_ELSEWHERE:
        message = (condition.get("message") or condition["reason"]).removeprefix(_DROPPED)
        yield from _sentences(subject, field, message, severity)


def _sentences(subject: Checked, field: str, message: str, severity: Severity) -> Iterator[Finding]:
    """Yield a finding for each field that a message is about; without one it is about `field`."""
    for sentence in _BETWEEN.split(message):
        match = _AT_FIELD.fullmatch(sentence)
        if match is None:
            yield subject.finding(field, sentence, severity)
        else:
            path = match[1] if match[1].startswith(("spec", "metadata")) else f"{field}.{match[1]}"
            yield subject.finding(path, match[2], severity)


def _unserved(
    listed: Iterable[Checked],
    subjects: Mapping[tuple[str, ObjectKey], Checked],
    stated: set[tuple[str, ObjectKey]],
) -> Iterator[Finding]:
    for one in listed:
        if one.kind == "Gateway" and (one.kind, one.key) not in stated:
            yield _class_problem(one, subjects)
        if one.kind in _ROUTES:
            yield from _missing_parents(one, subjects)
        if one.kind == "Ingress" and (one.kind, one.key) not in stated:
            name = one.object["spec"].get("ingressClassName") or "none"
            message = f"class {name} is not one that Roadstead serves; for it to be served here, use nginx"
            yield one.finding("spec.ingressClassName", message, "warning")


def _class_problem(gateway: Checked, subjects: Mapping[tuple[str, ObjectKey], Checked]) -> Finding:
    name = gateway.object["spec"].get("gatewayClassName") or ""
    found = subjects.get(("GatewayClass", ObjectKey("", name)))
    if found is None:
        message = (
            f"there is no GatewayClass {name} among the manifests; add one with spec.controllerName: {CONTROLLER_NAME}"
        )
        return gateway.finding("spec.gatewayClassName", message)
    other = found.object["spec"].get("controllerName")
    message = f"GatewayClass {name} is served by {other}, not by Roadstead ({CONTROLLER_NAME})"
    return gateway.finding("spec.gatewayClassName", message, "warning")


def _missing_parents(route: Checked, subjects: Mapping[tuple[str, ObjectKey], Checked]) -> Iterator[Finding]:
    references = route.object["spec"].get("parentRefs") or ()
    for number, reference in enumerate(references):
        if reference.get("group", GATEWAY_GROUP) != GATEWAY_GROUP:
            continue
        kind = reference.get("kind") or "Gateway"
        key = ObjectKey(reference.get("namespace") or route.key.namespace, reference["name"])
        if (kind, key) not in subjects:
            message = f"there is no {kind} {key} among the manifests"
            yield route.finding(f"spec.parentRefs[{number}]", message)
    if not references:
        yield route.finding("spec.parentRefs", "is empty, so no Gateway serves the route", "warning")

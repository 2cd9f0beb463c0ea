"""Would the API server take these objects? Each goes through what a server does with a new one, without a server.

What passes is as it would be stored, with all defaults; what does not gives findings with the server's own words.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object, clone
from roadstead.api.resources import Resource, Scheme
from roadstead.apiserver import bootstrap, crd, lifecycle
from roadstead.apiserver.admission.defaults import apply_defaults
from roadstead.apiserver.admission.kinds import admit_new
from roadstead.apiserver.schemas import schema_of
from roadstead.apiserver.schemas.checking import type_causes
from roadstead.apiserver.schemas.pruning import prune
from roadstead.apiserver.validation import unknown_fields
from roadstead.apiserver.writer import complete
from roadstead.client.applying import in_order
from roadstead.client.manifests import Document
from roadstead.cluster.bootstrap import SYSTEM_NAMESPACE
from roadstead.cluster.checks.finding import Checked, Finding, found_in
from roadstead.lib.clock import rfc3339

_DEFAULT_NAMESPACE = "default"
_GIVEN_NAMESPACES = (*bootstrap.NAMESPACES, SYSTEM_NAMESPACE)


def admit(documents: Iterable[Document], now: datetime) -> tuple[list[Checked], list[Finding]]:
    """Return the objects that a new cluster would store, and what is wrong with these and the others."""
    scheme, stored, findings = Scheme(), list[Checked](), list[Finding]()
    for document in in_order(documents):
        resource = scheme.by_kind(document.object["apiVersion"], document.object["kind"])
        if resource is None:
            findings.append(_unknown_kind(document))
            continue
        try:
            checked = Checked(document, _placed(resource, document.object))
        except RecursionError:
            findings.append(found_in(document, document.title, "", "is nested too deeply"))
            continue
        findings += _unknown_fields(resource, checked)
        refusals = list(_refusals(resource, checked, now))
        findings += refusals
        if not refusals:
            stored.append(checked)
        if not refusals and checked.kind == "CustomResourceDefinition":
            scheme = scheme.with_resources(crd.resources(checked.object))
    return stored, [*findings, *_homeless(stored), *_repeated(stored)]


def stored_as_is(resource: Resource, obj: Object, now: datetime) -> Object:
    """Return an object of our own as a server would store it."""
    made: Object = clone(obj)
    lifecycle.prepare_create(resource, made, now=rfc3339(now), uid=f"{obj['kind']} {obj['metadata']['name']}")
    apply_defaults(resource, made)
    admit_new(resource, made, rfc3339(now))
    return made


def _placed(resource: Resource, obj: Object) -> Object:
    made: Object = clone(obj)
    if not resource.namespaced:
        made["metadata"].pop("namespace", None)
    elif not made["metadata"].get("namespace"):
        made["metadata"]["namespace"] = _DEFAULT_NAMESPACE
    return made


def _unknown_kind(document: Document) -> Finding:
    kind, version = document.object["kind"], document.object["apiVersion"]
    message = f"there is no kind {kind} in {version}; check both, or add the CustomResourceDefinition to the manifests"
    return found_in(document, document.title, "kind", message)


def _unknown_fields(resource: Resource, checked: Checked) -> Iterator[Finding]:
    """Yield the fields that the kind does not have, and drop them."""
    try:
        unknown = unknown_fields(resource, checked.object)
    except ApiError:
        return  # too deep to be read at all: `_refusals` says so
    for path in unknown:
        yield checked.finding(path, f"{checked.kind} has no such field; the server refuses it")
    if unknown:
        prune(checked.object, schema_of(resource))


def _refusals(resource: Resource, checked: Checked, now: datetime) -> Iterator[Finding]:
    obj, moment = checked.object, rfc3339(now)
    # A server names the first value of a wrong type and reads no further; here all are named, each with its place.
    mistyped = type_causes(obj, schema_of(resource))
    if mistyped:
        yield from (checked.finding(field, message) for _, field, message in mistyped)
        return
    try:
        lifecycle.prepare_create(resource, obj, now=moment, uid=f"{checked.kind} {checked.key}")
        with complete(resource, obj, None):
            apply_defaults(resource, obj)
            admit_new(resource, obj, moment)
            if checked.kind == "CustomResourceDefinition":
                crd.accept(obj, moment, crd.Names())
    except ApiError as error:
        causes = error.details.get("causes") or ()
        for cause in causes:
            yield checked.finding(cause.get("field") or "", cause["message"])
        if not causes:
            yield checked.finding("", error.message)
    except RecursionError:
        yield checked.finding("", "is nested too deeply")


def _homeless(stored: Iterable[Checked]) -> Iterator[Finding]:
    listed = list(stored)
    there = {one.key.name for one in listed if one.kind == "Namespace"} | set(_GIVEN_NAMESPACES)
    for one in listed:
        if one.key.namespace and one.key.namespace not in there:
            message = f"there is no Namespace {one.key.namespace} among the manifests; add one"
            yield one.finding("metadata.namespace", message)


def _repeated(stored: Iterable[Checked]) -> Iterator[Finding]:
    first: dict[tuple[str, str, object], Checked] = {}
    for one in stored:
        identity = (one.object["apiVersion"].partition("/")[0], one.kind, one.key)
        before = first.setdefault(identity, one)
        if before is not one:
            place = before.document.where()
            yield one.finding("metadata.name", f"is also defined at {place}; what is applied last wins", "warning")

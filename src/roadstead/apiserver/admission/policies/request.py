"""One write, as policies see it. Next: `matching`, which policies are about it."""

from dataclasses import dataclass
from typing import Literal

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.apiserver.access.reviews import user_info
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions

Operation = Literal["CREATE", "UPDATE", "DELETE"]
SCALE = Resource("autoscaling", "v1", "", "Scale")
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Who writes what; `new` is None for a deletion, `old` for a creation.

    The counterpart of apiserver's `admission.Attributes`.
    """

    operation: Operation
    resource: Resource
    subresource: str
    namespace: str
    name: str
    new: ReadOnlyObject | None
    old: ReadOnlyObject | None
    user: User
    options: Object
    dry_run: bool

    @property
    def is_about_a_namespace(self) -> bool:
        """True for the Namespace objects themselves."""
        return (self.resource.group, self.resource.plural) == ("", "namespaces")

    def described(self, seen: Resource) -> Object:
        """Return the variable `request` of CEL, for a policy that sees the object in a version (`AdmissionRequest`)."""
        return {
            "kind": self._kind(seen),
            "resource": _resource(seen),
            "subResource": self.subresource,
            "requestKind": self._kind(self.resource),
            "requestResource": _resource(self.resource),
            "requestSubResource": self.subresource,
            "name": self.name,
            "namespace": self.name if self.is_about_a_namespace else self.namespace,
            "operation": self.operation,
            "userInfo": user_info(self.user),
            "dryRun": self.dry_run,
            "options": self.options,
        }

    def _kind(self, seen: Resource) -> Object:
        shown = SCALE if self.subresource == "scale" else seen
        return {"group": shown.group, "version": shown.version, "kind": shown.kind}


def _resource(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def request_of(
    call: Call, options: WriteOptions | DeleteOptions, new: ReadOnlyObject | None, old: ReadOnlyObject | None
) -> AdmissionRequest:
    """Return the request that a call makes of policies when it writes `new` in place of `old`."""
    operation: Operation = "DELETE" if new is None else "CREATE" if old is None else "UPDATE"
    name = ((new or old or {}).get("metadata") or {}).get("name") or call.name
    return AdmissionRequest(
        operation=operation,
        resource=call.resource,
        subresource=call.subresource,
        namespace=call.namespace,
        name=str(name),
        new=new,
        old=old,
        user=call.user,
        options=_shown(call.verb, options),
        dry_run=options.dry_run,
    )


def _shown(verb: str, options: WriteOptions | DeleteOptions) -> Object:
    shown: Object = {"kind": _OPTIONS.get(verb, "DeleteOptions"), "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        shown["dryRun"] = ["All"]
    if isinstance(options, WriteOptions):
        shown |= {"fieldManager": options.field_manager, "fieldValidation": options.validation}
    elif options.grace_period_seconds is not None:
        shown["gracePeriodSeconds"] = options.grace_period_seconds
    if isinstance(options, DeleteOptions) and options.propagation:
        shown["propagationPolicy"] = options.propagation
    return shown

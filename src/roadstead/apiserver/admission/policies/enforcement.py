"""The ValidatingAdmissionPolicies of a store, in force: `writer` asks about every write before it is stored.

A policy counts from the instant it is stored with a binding, because this listens to the store. Where there is none,
a write pays for one look. What Kubernetes asks policies about and is not asked here: `docs/api-server.md`.
"""

from collections.abc import Collection, Iterator

from roadstead.api.errors import ApiError, Forbidden, Invalid, RequestEntityTooLarge
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.api.selectors import label_selector_from
from roadstead.apiserver.access.rbac import Attributes, Authorizer
from roadstead.apiserver.access.tokens import service_account_user
from roadstead.apiserver.admission.policies.evaluation import Denial, denials
from roadstead.apiserver.admission.policies.matching import Surroundings, version_seen
from roadstead.apiserver.admission.policies.policy import Binding, Policy
from roadstead.apiserver.admission.policies.request import AdmissionRequest, request_of
from roadstead.apiserver.calls import Call
from roadstead.apiserver.cel import OBJECT_LIMIT, Budget
from roadstead.apiserver.cel import authorizer as cel
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions
from roadstead.apiserver.lifecycle import collection_of
from roadstead.apiserver.registry import Registry
from roadstead.apiserver.scale import scale_of
from roadstead.apiserver.store import Event, Location, Store
from roadstead.apiserver.versions import convert

GROUP = "admissionregistration.k8s.io"
_POLICIES, _BINDINGS = f"validatingadmissionpolicies.{GROUP}", f"validatingadmissionpolicybindings.{GROUP}"
_SEEN = frozenset({"", "status", "scale", "finalize", "ephemeralcontainers"})
"""Subresources whose writes are seen; the objects of others are not what is stored."""
_ERRORS: dict[str, type[ApiError]] = {error.reason: error for error in (Forbidden, Invalid, RequestEntityTooLarge)}


class _Misconfigured(Exception):
    """A binding cannot be applied to a request."""


class Policies:
    """Holds writes to the policies that are bound."""

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        self._store = store
        self._registry = registry
        self._authorizer = authorizer
        self._bound: list[tuple[Policy, list[Binding]]] | None = None
        store.subscribe(self._observe)

    def check(
        self, call: Call, options: WriteOptions | DeleteOptions, new: ReadOnlyObject | None, old: ReadOnlyObject | None
    ) -> tuple[str, ...]:
        """Return the warnings that policies have about writing `new` in place of `old`; None where there is nothing.

        Raises ApiError if one of them denies it.
        """
        if self._bound is None:
            self._bound = list(self._read())
        if not self._bound or call.resource.group == GROUP or call.subresource not in _SEEN:
            return ()
        request = request_of(call, options, new, old)
        return _Review(self._store, self._registry, self._authorizer, request).of(self._bound)

    def _observe(self, event: Event) -> None:
        if event.record.location.collection in (_POLICIES, _BINDINGS):
            self._bound = None

    def _read(self) -> Iterator[tuple[Policy, list[Binding]]]:
        bindings = [Binding.of(record.decode()) for record in self._store.records(_BINDINGS)]
        for record in self._store.records(_POLICIES):
            policy = Policy.of(record.decode())
            bound = [binding for binding in bindings if binding.policy == policy.name]
            if bound:
                yield policy, bound


class _Review:
    """What the policies say of one request."""

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer, request: AdmissionRequest) -> None:
        self._store = store
        self._registry = registry
        self._authorizer = authorizer
        self._request = request
        self._budget = Budget(OBJECT_LIMIT)
        self._namespace = self._look_up_namespace()
        self._around = Surroundings(self._versions(), self._namespace_labels())

    def of(self, bound: list[tuple[Policy, list[Binding]]]) -> tuple[str, ...]:
        """Ask every policy. Returns the warnings; raises what the first one that denies says."""
        warnings: list[str] = []
        refusal: ApiError | None = None
        for policy, bindings in bound:
            seen = version_seen(policy.constraints, self._request, self._around)
            if seen is None:
                continue
            for binding in bindings:
                if binding.resources is not None and not version_seen(binding.resources, self._request, self._around):
                    continue
                denied, actions = self._denials(policy, binding, seen)
                for denial in denied:
                    if "Deny" in actions and refusal is None:
                        refusal = self._refused(policy, binding, denial)
                    if "Warn" in actions:
                        warnings.append(_warning(policy, binding, denial))
        if refusal is not None:
            raise refusal
        return tuple(warnings)

    def _denials(self, policy: Policy, binding: Binding, seen: Resource) -> tuple[list[Denial], Collection[str]]:
        """Return what a policy has against the request, and what follows from it."""
        try:
            params = self._params(policy, binding)
        except _Misconfigured as problem:
            # Whatever the binding says is to follow: it cannot be relied on.
            return [Denial(f"failed to configure binding: {problem}")] if policy.closed else [], ("Deny",)
        facts = self._facts(seen)
        denied = [each for found in params for each in denials(policy, {**facts, "params": found}, self._budget)]
        return denied, binding.actions

    def _facts(self, seen: Resource) -> dict[str, object]:
        request = self._request
        wanted = cel.Wanted(
            group=request.resource.group,
            resource=request.resource.plural,
            subresource=request.subresource,
            namespace=request.namespace,
            name=request.name,
        )
        return {
            "object": self._shown(request.new, seen),
            "oldObject": self._shown(request.old, seen),
            "request": request.described(seen),
            "namespaceObject": None if request.is_about_a_namespace else self._namespace,
            "authorizer": cel.Authorizer(self._decide, wanted),
        }

    def _shown(self, obj: ReadOnlyObject | None, seen: Resource) -> Object | None:
        if obj is None:
            return None
        if self._request.subresource == "scale":
            return scale_of(self._request.resource, obj)
        return convert(dict(obj), seen)

    def _decide(self, wanted: cel.Wanted) -> cel.Answer:
        *attributes, account = wanted
        user = self._request.user if account is None else service_account_user(*account)
        decision = self._authorizer.decide(user, Attributes(*attributes))
        return cel.Answer(decision.allowed, decision.reason)

    def _params(self, policy: Policy, binding: Binding) -> list[Object | None]:
        """Return the parameters with which a policy is to be evaluated, each in turn. Raises _Misconfigured."""
        reference = binding.param_ref
        if policy.param_kind is None or reference is None:
            return [None]
        kind = self._registry.scheme.by_kind(*policy.param_kind)
        if kind is None:
            raise _Misconfigured(f"paramKind kind `{', Kind='.join(policy.param_kind)}` not known")
        found = self._chosen(reference, kind, self._params_namespace(reference, kind))
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise _Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return [convert(obj, kind) for obj in found]

    def _params_namespace(self, reference: ReadOnlyObject, kind: Resource) -> str:
        named = str(reference.get("namespace") or "")
        if not kind.namespaced:
            if named:
                raise _Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
            return ""
        if not named and not self._request.namespace:
            raise _Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
        return named or self._request.namespace

    def _chosen(self, reference: ReadOnlyObject, kind: Resource, namespace: str) -> list[Object]:
        collection = collection_of(kind)
        if reference.get("name"):
            record = self._store.get(Location(collection, namespace, str(reference["name"])))
            return [record.decode()] if record is not None else []
        selector = label_selector_from(reference.get("selector") or {})
        records = self._store.records(collection, namespace)
        return [record.decode() for record in records if selector.matches(record.labels)]

    def _versions(self) -> tuple[Resource, ...]:
        own = self._request.resource
        collection = collection_of(own)
        others = [each for each in self._registry.scheme.resources if collection_of(each) == collection]
        return (own, *(each for each in others if each.api_version != own.api_version))

    def _look_up_namespace(self) -> Object | None:
        request = self._request
        name = request.name if request.is_about_a_namespace else request.namespace
        record = self._store.get(Location("namespaces", "", name)) if name else None
        return record.decode() if record is not None else None

    def _namespace_labels(self) -> dict[str, str] | None:
        request = self._request
        if request.is_about_a_namespace and request.new is not None and not request.subresource:
            return dict(request.new["metadata"].get("labels") or {})
        if not request.is_about_a_namespace and not request.namespace:
            return None
        return dict((self._namespace or {}).get("metadata", {}).get("labels") or {})

    def _refused(self, policy: Policy, binding: Binding, denial: Denial) -> ApiError:
        resource, name = self._request.resource, self._request.name
        problem = (
            f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}' denied request: {denial.message}"
        )
        qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        details = {"name": name, "group": resource.group, "kind": resource.plural, "causes": [{"message": problem}]}
        error = _ERRORS.get(denial.reason, Invalid)
        return error(f'{qualified} "{name}" is forbidden: {problem}', details)


def _warning(policy: Policy, binding: Binding, denial: Denial) -> str:
    return (
        f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}': "
        f"{denial.message}"
    )

"""Subresources that are not just a part of the object: scale, finalize, binding, eviction, token.

`status` is written by `rest`; `log`, `exec`, `attach` and `portforward` are streams, see `pod_streams`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.errors import BadRequest, Conflict, MethodNotAllowed, UnsupportedMediaType, invalid
from roadstead.api.objects import Object
from roadstead.api.resources import Resource, resource
from roadstead.apiserver import causes
from roadstead.apiserver.access.tokens import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, ServiceAccountTokens
from roadstead.apiserver.calls import Answer, Call, missing
from roadstead.apiserver.eviction import check_budgets
from roadstead.apiserver.http.content import APPLY, decode_json, decode_object, decode_yaml, media_type
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions
from roadstead.apiserver.lifecycle import check_identity, conflict, rfc3339
from roadstead.apiserver.patches import patch
from roadstead.apiserver.rest import apply_options, check_fields, check_named, with_manager
from roadstead.apiserver.scale import applied_scale, scale_of, with_replicas
from roadstead.apiserver.store import Location, Store
from roadstead.apiserver.validation import check_types
from roadstead.apiserver.validation.names import subdomain_complaints
from roadstead.apiserver.versions import convert
from roadstead.apiserver.writer import Writer

_SCALED = {
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}
_POD = resource("Pod")
_SCALE = Resource("autoscaling", "v1", "scales", "Scale")
_EVICTION = Resource("policy", "v1", "evictions", "Eviction")
_TOKEN_REQUEST = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
_BINDING = resource("Binding")
_OLD_EVICTION = "policy/v1beta1"  # which older clients still say, and Kubernetes still reads
_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Subresources:
    """The verbs on subresources."""

    def __init__(
        self, store: Store, writer: Writer, tokens: ServiceAccountTokens, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._writer = writer
        self._tokens = tokens
        self._clock = clock

    async def answer(self, call: Call) -> Answer:
        """Serve a call to one of these subresources. Raises ApiError, MethodNotAllowed for a verb that it lacks."""
        served = {
            ("scale", "get"): self._get_scale,
            ("scale", "update"): self._change_scale,
            ("scale", "patch"): self._change_scale,
            ("finalize", "update"): self._finalize,
            ("binding", "create"): self._bind,
            ("eviction", "create"): self._evict,
            ("token", "create"): self._token,
        }.get((call.subresource, call.verb))
        if served is None:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return await served(call)

    async def _get_scale(self, call: Call) -> Answer:
        return Answer(200, obj=self._scale(call, self._writer.need(call).decode()))

    def _scale(self, call: Call, obj: Object) -> Object:
        return scale_of(call.resource, convert(obj, call.resource))

    async def _change_scale(self, call: Call) -> Answer:
        if call.verb == "patch" and media_type(call.content_type) == APPLY:
            return await self._apply_scale(call)
        kind = "UpdateOptions" if call.verb == "update" else "PatchOptions"
        options = with_manager(WriteOptions.of(call.query, kind), call)
        change, warnings = _scale_change(call)

        def scaled(live: Object) -> Object:
            return with_replicas(call.resource, live, change(scale_of(call.resource, live)))

        return self._scaled(call, (await self._writer.change(call, options, scaled)).with_warnings(warnings))

    async def _apply_scale(self, call: Call) -> Answer:
        """Apply a Scale server-side: what it says of replicas is applied to the object, and owned by the applier."""
        options = apply_options(call)
        scale = decode_yaml(call.body)
        if not isinstance(scale, dict):
            raise BadRequest("an apply patch must be an object")
        check_identity(_SCALE, scale, call.namespace, call.name)
        check_types(_SCALE, scale)
        applied = applied_scale(call.resource, scale)
        return self._scaled(call, await self._writer.apply(call, options, applied))

    def _scaled(self, call: Call, answer: Answer) -> Answer:
        obj = answer.record.decode() if answer.record is not None else answer.obj
        assert obj is not None
        return Answer(answer.code, obj=self._scale(call, obj), warnings=answer.warnings)

    async def _finalize(self, call: Call) -> Answer:
        options = with_manager(WriteOptions.of(call.query, "UpdateOptions"), call)
        wanted, _ = _body(call, call.resource, options, named=True)
        finalizers = list((wanted.get("spec") or {}).get("finalizers") or ())

        def finalized(live: Object) -> Object:
            version = (wanted.get("metadata") or {}).get("resourceVersion")
            if version:
                live["metadata"]["resourceVersion"] = version
            live["spec"] = {**(live.get("spec") or {}), "finalizers": finalizers}
            if not finalizers:
                del live["spec"]["finalizers"]
            return live

        return await self._writer.change(call, options, finalized)

    async def _bind(self, call: Call) -> Answer:
        options = with_manager(WriteOptions.of(call.query), call)
        binding, warnings = _body(call, _BINDING, options)
        _check_binding(binding, call.name)
        wanted, target = binding["metadata"], binding["target"]["name"]
        now = rfc3339(self._clock())

        def bound(pod: Object) -> Object:
            _check_unbound(pod, call.name)
            metadata = pod["metadata"]
            for field in ("labels", "annotations"):
                if wanted.get(field):
                    metadata[field] = {**(metadata.get(field) or {}), **wanted[field]}
            for field in ("uid", "resourceVersion"):
                if wanted.get(field):
                    metadata[field] = wanted[field]
            pod["spec"]["nodeName"] = target
            status = pod.setdefault("status", {})
            scheduled = condition("PodScheduled", True, "")
            del scheduled["reason"], scheduled["message"]
            status["conditions"] = merge_conditions(status.get("conditions") or (), [scheduled], now)
            return pod

        await self._writer.change(call, options, bound)
        return Answer(201, obj=_SUCCESS, warnings=warnings)

    async def _evict(self, call: Call) -> Answer:
        asked = WriteOptions.of(call.query)
        eviction, warnings = _body(call, _EVICTION, asked)
        if eviction["metadata"].get("name") != call.name:
            raise BadRequest("name in URL does not match name in Eviction object")
        given = dict(eviction.get("deleteOptions") or {})
        options = DeleteOptions.of(call.query, {**given, "dryRun": ["All"]} if asked.dry_run else given)
        pod = self._writer.need(call).decode()
        budgets = self._store.records("poddisruptionbudgets.policy", call.namespace)
        if budgets:
            pods = [record.decode() for record in self._store.records("pods", call.namespace)]
            check_budgets(
                pod, [record.decode() for record in budgets], pods, lambda owner: self._replicas(call.namespace, owner)
            )
        await self._writer.delete(call, options)
        return Answer(201, obj=_SUCCESS, warnings=warnings)

    def _replicas(self, namespace: str, owner: Mapping[str, Any]) -> int | None:
        collection = _SCALED.get(owner.get("kind", ""))
        record = self._store.get(Location(collection, namespace, owner["name"])) if collection else None
        return (record.decode().get("spec") or {}).get("replicas") if record is not None else None

    async def _token(self, call: Call) -> Answer:
        request, warnings = _body(call, _TOKEN_REQUEST, WriteOptions.of(call.query))
        spec, metadata = request.get("spec") or {}, request["metadata"]
        if metadata.get("name") not in {None, "", call.name}:
            wrong = causes.invalid(
                "metadata.name", metadata["name"], "must match the service account name if specified"
            )
            raise invalid("TokenRequest", "authentication.k8s.io", call.name, [wrong])
        account = self._writer.need(call).decode()
        uid = account["metadata"]["uid"]
        if metadata.get("uid") not in {None, "", uid}:
            problem = f"the UID in the token request ({metadata['uid']}) does not match the UID of the service account"
            raise conflict(_TOKEN_REQUEST, call.name, f"{problem} ({uid})")
        seconds = _lifetime(spec)
        bound = self._bound_pod(call, spec.get("boundObjectRef"))
        audiences = list(spec.get("audiences") or ()) or [self._tokens.issuer]
        token = self._tokens.sign(account, audiences, seconds, bound)
        expires = rfc3339(self._clock() + timedelta(seconds=seconds))
        status = {"token": token, "expirationTimestamp": expires}
        now = rfc3339(self._clock())
        metadata = {"name": call.name, "namespace": call.namespace, "uid": uid, "creationTimestamp": now}
        answer = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata}
        complete = {
            **spec, "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef"),
        }  # fmt: skip
        return Answer(201, obj={**answer, "spec": complete, "status": status}, warnings=warnings)

    def _bound_pod(self, call: Call, reference: Object | None) -> dict[str, Any]:
        if reference is None:
            return {}
        group, kind = str(reference.get("apiVersion") or "").rpartition("/")[0], reference.get("kind") or ""
        if (group, kind) in {("", "Secret"), ("", "Node")}:
            raise BadRequest(f"cannot bind token to a {kind}: only pods are supported")
        if (group, kind) != ("", "Pod"):
            version = reference.get("apiVersion") or ""
            place = version if "/" in version else f"/{version}"
            raise BadRequest(f"cannot bind token to object of type {place}, Kind={kind}")
        name = reference.get("name") or ""
        record = self._store.get(Location("pods", call.namespace, name))
        if record is None:
            raise missing(_POD, name)
        pod = record.decode()
        if pod["spec"].get("serviceAccountName") != call.name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
        uid = pod["metadata"]["uid"]
        if reference.get("uid") not in (None, "", uid):
            message = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
            )
            raise conflict(_POD, name, message)
        return {"name": name, "uid": uid}


def _body(call: Call, kind: Resource, options: WriteOptions, *, named: bool = False) -> tuple[Object, tuple[str, ...]]:
    """Return the body of a request as an object of a kind, and the warnings about its fields.

    It is of the kind, version and namespace of the request, and of its name if it must be `named`. Raises BadRequest.
    """
    body = decode_object(call.content_type, call.body, kind.kind)
    if named:
        check_named(body, call.name)
    if kind is _EVICTION and body.get("apiVersion") == _OLD_EVICTION:
        body["apiVersion"] = kind.api_version
    check_identity(kind, body, call.namespace, call.name if named else "")
    warnings = check_fields(replace(call, resource=kind), body, options)
    check_types(kind, body)
    return body, warnings


def _lifetime(spec: Object) -> int:
    """Return for how many seconds a token is asked for. Raises Invalid if that is too short or too long."""
    asked = spec.get("expirationSeconds")
    seconds: int = DEFAULT_SECONDS if asked is None else asked
    if SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return seconds
    bound = "less than 10 minutes" if seconds < SHORTEST_SECONDS else "larger than 2^32 seconds"
    wrong = causes.invalid("spec.expirationSeconds", seconds, f"may not specify a duration {bound}")
    raise invalid("TokenRequest", "authentication.k8s.io", "", [wrong])


def _check_binding(binding: Object, name: str) -> None:
    """Raise BadRequest or Invalid for a binding of another pod, or to something that is no node."""
    if binding["metadata"].get("name") != name:
        raise BadRequest("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    found: causes.Causes = []
    if target.get("kind") not in {None, "", "Node"}:
        choices = 'supported values: "Node", "<empty>"'
        found.append(
            ("FieldValueNotSupported", "target.kind", f"Unsupported value: {causes.printed(target['kind'])}: {choices}")
        )
    if not target.get("name"):
        found.append(causes.required("target.name"))
    else:
        found += [
            causes.invalid("target.name", target["name"], problem) for problem in subdomain_complaints(target["name"])
        ]
    if found:
        raise invalid("Binding", "", name, found)


def _check_unbound(pod: Object, name: str) -> None:
    problem = ""
    if pod["metadata"].get("deletionTimestamp"):
        problem = f"pod {name} is being deleted, cannot be assigned to a host"
    if pod["spec"].get("nodeName"):
        problem = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    if problem:
        details = {"name": name, "kind": "pods/binding"}
        raise Conflict(f'Operation cannot be fulfilled on pods/binding "{name}": {problem}', details)


def _scale_change(call: Call) -> tuple[Callable[[Object], Object], tuple[str, ...]]:
    """Return what a request makes of a Scale, and the warnings about its fields."""
    if call.verb == "update":
        scale, warnings = _body(call, _SCALE, WriteOptions.of(call.query, "UpdateOptions"), named=True)
        return lambda _: scale, warnings
    kind = media_type(call.content_type)
    if kind == "application/json-patch+json":
        operations = decode_json(call.body)
        return lambda scale: patch.json_patch(scale, operations), ()
    if kind in {"application/merge-patch+json", "application/strategic-merge-patch+json"}:
        document = decode_json(call.body)
        return lambda scale: patch.merge_patch(scale, document), ()
    raise UnsupportedMediaType("415: Unsupported Media Type")

"""Subresources that are not just a part of the object: scale, finalize, binding, eviction, token.

`status` is written by `rest`; `log`, `exec`, `attach` and `portforward` are streams, see `pod_streams`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from roadstead.api.conditions import condition, merge_conditions
from roadstead.api.errors import BadRequest, Conflict, MethodNotAllowed, UnsupportedMediaType, invalid
from roadstead.api.objects import Object
from roadstead.api.resources import Resource, resource
from roadstead.apiserver.access.tokens import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, ServiceAccountTokens
from roadstead.apiserver.calls import Answer, Call, missing
from roadstead.apiserver.eviction import check_budgets
from roadstead.apiserver.http.content import APPLY, decode_json, decode_object, decode_yaml, media_type
from roadstead.apiserver.http.parameters import DeleteOptions, WriteOptions
from roadstead.apiserver.lifecycle import check_identity, conflict, rfc3339
from roadstead.apiserver.patches import patch
from roadstead.apiserver.rest import apply_options, with_manager
from roadstead.apiserver.scale import applied_scale, scale_of, with_replicas
from roadstead.apiserver.store import Location, Store
from roadstead.apiserver.validation import check_types
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
            raise MethodNotAllowed(
                f"the server does not allow this method on {call.resource.plural}/{call.subresource}"
            )
        return await served(call)

    async def _get_scale(self, call: Call) -> Answer:
        return Answer(200, obj=self._scale(call, self._writer.need(call).decode()))

    def _scale(self, call: Call, obj: Object) -> Object:
        return scale_of(call.resource, convert(obj, call.resource))

    async def _change_scale(self, call: Call) -> Answer:
        if call.verb == "patch" and media_type(call.content_type) == APPLY:
            return await self._apply_scale(call)
        options = with_manager(WriteOptions.of(call.query), call)
        change = _scale_change(call)

        def scaled(live: Object) -> Object:
            return with_replicas(call.resource, live, change(scale_of(call.resource, live)))

        return self._scaled(call, await self._writer.change(call, options, scaled))

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
        options = with_manager(WriteOptions.of(call.query), call)
        wanted = _body(call, call.resource)
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
        binding = _body(call, _BINDING)
        node = (binding.get("target") or {}).get("name")
        if not node:
            causes = [("FieldValueRequired", "target.name", "Required value")]
            raise invalid("Binding", "", call.name, causes)
        now = rfc3339(self._clock())

        def bound(pod: Object) -> Object:
            current = pod["spec"].get("nodeName")
            if current:
                raise Conflict(f'pod {call.name} is already assigned to node "{current}"', {"name": call.name})
            pod["spec"]["nodeName"] = node
            status = pod.setdefault("status", {})
            scheduled = condition("PodScheduled", True, "")
            del scheduled["reason"], scheduled["message"]
            status["conditions"] = merge_conditions(status.get("conditions") or (), [scheduled], now)
            return pod

        await self._writer.change(call, options, bound)
        return Answer(201, obj=_SUCCESS)

    async def _evict(self, call: Call) -> Answer:
        eviction = _body(call, _EVICTION)
        options = DeleteOptions.of(call.query, eviction.get("deleteOptions"))
        pod = self._writer.need(call).decode()
        budgets = self._store.records("poddisruptionbudgets.policy", call.namespace)
        if budgets:
            pods = [record.decode() for record in self._store.records("pods", call.namespace)]
            check_budgets(
                pod, [record.decode() for record in budgets], pods, lambda owner: self._replicas(call.namespace, owner)
            )
        await self._writer.delete(call, options)
        return Answer(201, obj=_SUCCESS)

    def _replicas(self, namespace: str, owner: Mapping[str, Any]) -> int | None:
        collection = _SCALED.get(owner.get("kind", ""))
        record = self._store.get(Location(collection, namespace, owner["name"])) if collection else None
        return (record.decode().get("spec") or {}).get("replicas") if record is not None else None

    async def _token(self, call: Call) -> Answer:
        request = _body(call, _TOKEN_REQUEST)
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds") or DEFAULT_SECONDS
        if not isinstance(seconds, int) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            message = f"Invalid value: {seconds!r}: may not specify a duration less than 10 minutes"
            causes = [("FieldValueInvalid", "spec.expirationSeconds", message)]
            raise invalid("TokenRequest", "authentication.k8s.io", call.name, causes)
        account = self._writer.need(call).decode()
        bound = self._bound_pod(call, spec.get("boundObjectRef") or {})
        token = self._tokens.sign(account, spec.get("audiences") or (), seconds, bound)
        expires = rfc3339(self._clock() + timedelta(seconds=seconds))
        status = {"token": token, "expirationTimestamp": expires}
        metadata = {"name": call.name, "namespace": call.namespace, "creationTimestamp": rfc3339(self._clock())}
        answer = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata}
        complete = {"audiences": [self._tokens.issuer], **spec, "expirationSeconds": seconds}
        return Answer(201, obj={**answer, "spec": complete, "status": status})

    def _bound_pod(self, call: Call, reference: Object) -> dict[str, Any]:
        if not reference:
            return {}
        if reference.get("kind") != "Pod":
            raise BadRequest(f"cannot bind token to a {reference.get('kind')}: only pods are supported")
        name = reference.get("name") or ""
        record = self._store.get(Location("pods", call.namespace, name))
        if record is None:
            raise missing(_POD, name)
        uid = record.decode()["metadata"]["uid"]
        if reference.get("uid") not in (None, "", uid):
            message = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
            )
            raise conflict(_POD, name, message)
        return {"name": name, "uid": uid}


def _body(call: Call, kind: Resource) -> Object:
    """Return the body of a request as an object of a kind. Raises BadRequest for values of wrong types."""
    body = decode_object(call.content_type, call.body)
    check_types(kind, body)
    return body


def _scale_change(call: Call) -> Callable[[Object], Object]:
    if call.verb == "update":
        scale = _body(call, _SCALE)
        return lambda _: scale
    kind = media_type(call.content_type)
    if kind == "application/json-patch+json":
        operations = decode_json(call.body)
        return lambda scale: patch.json_patch(scale, operations)
    if kind in {"application/merge-patch+json", "application/strategic-merge-patch+json"}:
        document = decode_json(call.body)
        return lambda scale: patch.merge_patch(scale, document)
    raise UnsupportedMediaType(f"a scale cannot be patched by {kind}")

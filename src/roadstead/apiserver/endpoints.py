"""Requests to resources: which verb a method means, who serves it, and how the answer is written.

`/api/v1/...` and `/apis/GROUP/VERSION/...` arrive here authenticated and authorized (`app`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from starlette.types import Receive, Scope, Send

from roadstead.api.errors import BadRequest, Expired, MethodNotAllowed, NotFound
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver.access.reviews import Reviews
from roadstead.apiserver.admission.warnings import kind_warnings
from roadstead.apiserver.calls import Answer, Call, User, telling
from roadstead.apiserver.http.content import decode_object, negotiate
from roadstead.apiserver.http.exchange import (
    direct_push,
    end_stream,
    header,
    read_body,
    send_bytes,
    send_chunk,
    send_parts,
    start_stream,
    until_disconnected,
    warning_headers,
    with_headers,
)
from roadstead.apiserver.http.parameters import Query, WriteOptions, first, flag, parse_query
from roadstead.apiserver.http.paths import ResourcePath
from roadstead.apiserver.lifecycle import check_identity
from roadstead.apiserver.metrics import GROUP as METRICS
from roadstead.apiserver.metrics import Metrics
from roadstead.apiserver.registry import Registry
from roadstead.apiserver.representation import Presenter
from roadstead.apiserver.rest import PARTS, Rest, check_fields
from roadstead.apiserver.store import Record
from roadstead.apiserver.streams.pod_logs import PodLogs
from roadstead.apiserver.streams.proxy import Proxies
from roadstead.apiserver.subresources import Subresources
from roadstead.apiserver.validation import check_types
from roadstead.apiserver.watch import WatchHub
from roadstead.lib.tasks import spawn
from roadstead.lib.turns import in_turns

_OF_OBJECT = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
_OF_COLLECTION = {
    "GET": "list", "HEAD": "list", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "deletecollection",
}  # fmt: skip
_EVERYWHERE = frozenset({"list", "watch"})
_OF_ONE = frozenset({"get", "update", "patch", "delete"})
_STREAMS = frozenset({"exec", "attach", "portforward"})


def verb_of(method: str, path: ResourcePath, query: Query) -> str:
    """Return the verb that RBAC and discovery know a request by, empty if its method has none."""
    if path.name:
        return _OF_OBJECT.get(method, "")
    if method == "GET" and flag(query, "watch"):
        return "watch"
    return _OF_COLLECTION.get(method, "")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that serves a part of the requests."""

    registry: Registry
    rest: Rest
    subresources: Subresources
    reviews: Reviews
    hub: WatchHub
    logs: PodLogs
    metrics: Metrics
    proxies: Proxies
    clock: Callable[[], datetime]


class ResourceEndpoints:
    """Serves the verbs on resources over HTTP."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def find(self, path: ResourcePath) -> Resource:
        """Return the resource that a path names. Raises NotFound."""
        resource = self._services.registry.lookup(path.group, path.version, path.plural)
        if resource is None or (path.subresource and path.subresource not in resource.subresources):
            raise NotFound("the server could not find the requested resource")
        if path.namespace and not resource.namespaced:
            raise NotFound("the server could not find the requested resource")
        return resource

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, *, path: ResourcePath, verb: str, user: User
    ) -> None:
        """Serve one request. Raises ApiError as long as nothing was sent."""
        resource = self.find(path)
        _check_method(resource, path, scope["method"], verb)
        call = Call(
            verb=verb,
            resource=resource,
            namespace=path.namespace,
            name=path.name,
            subresource=path.subresource,
            query=parse_query(scope["query_string"].decode("latin-1")),
            user=user,
            user_agent=header(scope, b"user-agent"),
            content_type=header(scope, b"content-type"),
            body=await read_body(scope, receive) if path.subresource != "proxy" else b"",
        )
        if call.subresource in _STREAMS:
            raise BadRequest(f"{call.subresource} needs a WebSocket: plain SPDY upgrades are not supported")
        warnings = kind_warnings(resource)
        with telling(warnings):
            await self._dispatch(call, scope, receive, with_headers(send, warning_headers(warnings)))

    async def _dispatch(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        if services.reviews.answers(call.resource.kind):
            await self._reply(call, self._review(call), scope, send)
        elif call.subresource == "proxy":
            await services.proxies.serve(call, scope, receive, send)
        elif call.subresource == "log":
            await services.logs.serve(call, receive, send)
        elif call.verb == "watch":
            await self._watch(call, scope, receive, send)
        elif call.verb == "list":
            await self._list(call, scope, send)
        elif call.verb == "deletecollection":
            await self._delete_collection(call, send)
        else:
            await self._reply(call, await self._answer(call), scope, send)

    async def _answer(self, call: Call) -> Answer:
        rest = self._services.rest
        if call.subresource not in PARTS:
            return await self._services.subresources.answer(call)
        if call.resource.kind == "Binding" and call.verb == "create":
            return await self._services.subresources.answer(self._binding_call(call))
        if call.verb == "get":
            return Answer(200, await self._services.metrics.get(call)) if _is_measured(call) else rest.get(call)
        verbs = {"create": rest.create, "update": rest.replace, "patch": rest.patch, "delete": rest.delete}
        serve = verbs.get(call.verb)
        if serve is None or (call.name and call.verb == "create") or (call.subresource and call.verb == "delete"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return await serve(call)

    def _binding_call(self, call: Call) -> Call:
        pods = self._services.registry.lookup("", "v1", "pods")
        assert pods is not None
        name = (decode_object(call.content_type, call.body).get("metadata") or {}).get("name") or ""
        if not name:
            raise BadRequest("Name parameter required.")
        return Call(
            "create", pods, call.namespace, name, "binding", call.query, call.user,
            call.user_agent, call.content_type, call.body,
        )  # fmt: skip

    def _review(self, call: Call) -> Answer:
        review = decode_object(call.content_type, call.body, call.resource.kind)
        check_identity(call.resource, review, call.namespace, "")
        warnings = check_fields(call, review, WriteOptions.of(call.query))
        check_types(call.resource, review)
        answer = self._services.reviews.answer(call.resource.kind, review, call.user, call.namespace)
        return Answer(201, obj=answer, warnings=warnings)

    def _presenter(self, call: Call, scope: Scope) -> Presenter:
        form = negotiate(header(scope, b"accept"), first(call.query, "includeObject"))
        return Presenter(call.resource, self._services.registry.storage_version(call.resource), form)

    async def _reply(self, call: Call, answer: Answer, scope: Scope, send: Send) -> None:
        extra = warning_headers(answer.warnings)
        if answer.record is not None:
            body = self._presenter(call, scope).one(answer.record, self._services.clock())
        else:
            assert answer.obj is not None
            body = msgspec.json.encode(self._shaped(call, answer.obj, scope))
        await send_bytes(send, answer.code, body, extra=extra)

    def _shaped(self, call: Call, obj: Object, scope: Scope) -> Object:
        if obj.get("kind") != call.resource.kind:
            return obj
        return self._presenter(call, scope).shape(obj, self._services.clock())

    async def _list(self, call: Call, scope: Scope, send: Send) -> None:
        presenter = self._presenter(call, scope)
        records, metadata = await self._records(call)
        await send_parts(send, 200, await in_turns(presenter.many(records, self._services.clock(), metadata)))

    async def _records(self, call: Call) -> tuple[list[Record], Object]:
        if _is_measured(call):
            return await self._services.metrics.list(call), {"resourceVersion": ""}
        return self._services.rest.list_records(call)

    async def _delete_collection(self, call: Call, send: Send) -> None:
        records = await self._services.rest.delete_collection(call)
        presenter = Presenter(call.resource, self._services.registry.storage_version(call.resource), negotiate("", ""))
        metadata: Object = {"resourceVersion": str(self._services.rest.revision)}
        await send_parts(send, 200, await in_turns(presenter.many(records, self._services.clock(), metadata)))

    async def _watch(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        presenter = self._presenter(call, scope)
        try:
            stream = self._services.hub.open(call, presenter)
        except Expired as error:  # said in the stream, where Kubernetes says it and some clients only look for it
            await start_stream(send, b"application/json")
            await send_chunk(send, presenter.error(error))
            await end_stream(send)
            return
        left = spawn(until_disconnected(receive), name="watch client")
        left.add_done_callback(lambda _: stream.watcher.close())
        try:
            await start_stream(send, b"application/json")
            stream.watcher.push = direct_push(scope)
            async for chunk in stream.chunks():
                await send_chunk(send, chunk)
            await end_stream(send)
        finally:
            left.cancel()
            stream.leave()


def _check_method(resource: Resource, path: ResourcePath, method: str, verb: str) -> None:
    """Raise NotFound for a path that no verb has, MethodNotAllowed for a verb that it lacks, BadRequest for its name.

    Objects that have a namespace can be listed and watched in all of them, and nothing else.
    """
    nowhere = resource.namespaced and not path.namespace
    if nowhere and (path.name or _EVERYWHERE.isdisjoint(resource.verbs)):
        raise NotFound("the server could not find the requested resource")
    served = path.subresource or (verb in resource.verbs and bool(path.name) is (verb in _OF_ONE))
    if (method == "HEAD" and path.subresource != "proxy") or not served or (nowhere and verb not in _EVERYWHERE):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    if path.name in {".", ".."}:
        raise BadRequest(f"Name parameter invalid: \"{path.name}\": may not be '{path.name}'")


def _is_measured(call: Call) -> bool:
    return call.resource.group == METRICS

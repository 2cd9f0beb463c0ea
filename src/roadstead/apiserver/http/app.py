"""The ASGI application: who calls, may they, and then the part that serves it.

Every request is identified (`access.authentication`), decided on (`access.rbac`) and only then routed. Errors of any
part become the `Status` that Kubernetes clients expect; nothing that a client sends makes the server answer in another
way.
"""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from roadstead.api.errors import ApiError, Forbidden, InternalError, NotFound, Unauthorized
from roadstead.api.selectors import parse_field_selector
from roadstead.apiserver.access.authentication import ANONYMOUS, Authenticator
from roadstead.apiserver.access.impersonation import impersonated
from roadstead.apiserver.access.rbac import Attributes, Authorizer
from roadstead.apiserver.access.tokens import ServiceAccountTokens
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.endpoints import ResourceEndpoints, verb_of
from roadstead.apiserver.http.documents import documents
from roadstead.apiserver.http.exchange import Disconnected, header, send_error
from roadstead.apiserver.http.parameters import Query, first, parse_query
from roadstead.apiserver.http.paths import ResourcePath, parse
from roadstead.apiserver.registry import Registry
from roadstead.apiserver.streams.pod_streams import PodStreams
from roadstead.apiserver.streams.port_forward import PortForwards

_log = structlog.get_logger(__name__)
PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_READS_OF_MANY = frozenset({"list", "watch"})
_NON_RESOURCE_VERBS = {"GET": "get", "HEAD": "head", "POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application puts in front of clients."""

    registry: Registry
    tokens: ServiceAccountTokens
    authenticator: Authenticator
    authorizer: Authorizer
    endpoints: ResourceEndpoints
    streams: PodStreams
    forwards: PortForwards


class ApiApp:
    """The outermost ASGI callable."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._documents: ASGIApp = documents(parts.registry, parts.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            return
        try:
            await self._serve(scope, receive, _Once(send))
        except ApiError as error:
            await send_error(scope, receive, send, error)
        except Disconnected:
            return

    async def _serve(self, scope: Scope, receive: Receive, send: "_Once") -> None:
        try:
            await self._route(scope, receive, send)
        except (ApiError, Disconnected, asyncio.CancelledError):
            if send.started:  # too late for a Status: the connection is all that can still tell the client
                return
            raise
        except Exception as error:
            _log.exception("request failed", method=scope.get("method", "WEBSOCKET"), path=scope["path"])
            if not send.started:
                raise InternalError(
                    f"the server failed on this request ({type(error).__name__}); its log says more"
                ) from error

    async def _route(self, scope: Scope, receive: Receive, send: "_Once") -> None:
        path = scope["path"].rstrip("/") or "/"
        user = self._identify(scope, path)
        target = parse(path)
        verb = self._authorize(scope, path, target, user)
        if target is None:
            await self._documents({**scope, "path": path}, receive, send)
        elif scope["type"] == "websocket":
            await self._stream(scope, receive, send, target, user)
        else:
            await self._parts.endpoints.serve(scope, receive, send, path=target, verb=verb, user=user)

    def _identify(self, scope: Scope, path: str) -> User:
        state = scope.get("state", {})
        known: User | None = state.get("user")
        user = known or self._parts.authenticator.identify(
            state.get("peer_certificate"), header(scope, b"authorization")
        )
        if user is ANONYMOUS and path not in PUBLIC:
            raise Unauthorized("Unauthorized")
        return impersonated(scope, user, self._parts.authorizer)

    def _authorize(self, scope: Scope, path: str, target: ResourcePath | None, user: User) -> str:
        method = scope.get("method", "GET")
        if path in PUBLIC:
            return "get"
        if target is None:
            wanted = Attributes(_NON_RESOURCE_VERBS.get(method, method.lower()), path=path)
            self._require(user, wanted)
            return wanted.verb
        query = parse_query(scope["query_string"].decode("latin-1"))
        verb = verb_of(method, target, query)
        namespace = target.name if (target.group, target.plural) == ("", "namespaces") else target.namespace
        name = target.name or _selected_name(verb, query)
        wanted = Attributes(verb, target.group, target.plural, target.subresource, namespace, name)
        self._require(user, wanted)
        return verb

    def _require(self, user: User, wanted: Attributes) -> None:
        if self._parts.authorizer.decide(user, wanted).allowed:
            return
        if wanted.path:
            raise Forbidden(f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"')
        qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
        name = f' "{wanted.name}"' if wanted.name else ""
        scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
        raise Forbidden(
            f'{qualified}{name} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{wanted.qualified}" '
            f'in API group "{wanted.group}" {scope}',
            {"name": wanted.name, "group": wanted.group, "kind": wanted.resource},
        )

    async def _stream(self, scope: Scope, receive: Receive, send: Send, target: ResourcePath, user: User) -> None:
        resource = self._parts.endpoints.find(target)
        await receive()  # websocket.connect
        query = parse_query(scope["query_string"].decode("latin-1"))
        call = Call("get", resource, target.namespace, target.name, target.subresource, query, user)
        offered = list(scope.get("subprotocols") or ())
        if (resource.kind, target.subresource) in {("Pod", "exec"), ("Pod", "attach")}:
            await self._parts.streams.serve(call, offered, receive, send)
        elif (resource.kind, target.subresource) == ("Pod", "portforward"):
            await self._parts.forwards.serve(call, offered, receive, send)
        else:
            raise NotFound("the server could not find the requested resource")


def _selected_name(verb: str, query: Query) -> str:
    """Return the one name that a collection's field selector admits, which a rule on names may then allow."""
    if verb not in _READS_OF_MANY:
        return ""
    try:
        terms = parse_field_selector(first(query, "fieldSelector")).terms
    except ApiError:  # said where the selector is used, to those who may ask
        return ""
    return next((wanted for path, wanted, equal in terms if path == "metadata.name" and equal), "")


class _Once:
    """An ASGI `send` that remembers whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.started = True
        try:
            await self._send(message)
        except OSError as error:  # uvicorn's way to say that a WebSocket's client has gone
            raise Disconnected from error

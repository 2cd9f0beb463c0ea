"""`pods/proxy` and `services/proxy`: HTTP to a pod through the API server (`kubectl get --raw .../proxy/...`).

The request's body is read whole, the answer is passed on as it comes. WebSockets are not passed on.
"""

import asyncio
import secrets
import ssl
from dataclasses import replace
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send

from roadstead.api.errors import ApiError, NotFound, ServiceUnavailable
from roadstead.api.objects import Object
from roadstead.apiserver.calls import Call
from roadstead.apiserver.http.exchange import read_body, until_disconnected
from roadstead.apiserver.store import Location, Store
from roadstead.apiserver.streams.kubelet import Kubelet
from roadstead.apiserver.streams.pod_logs import agent, pod_on_node
from roadstead.apiserver.streams.proxy_targets import (
    Header,
    Named,
    Target,
    answer_headers,
    named,
    pod_target,
    request_head,
    service_targets,
)
from roadstead.lib.tasks import cancel_all, spawn

_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"
_PIECE = 32 << 10
_BEFORE_REST = 8
"""Slashes of `/api/v1/namespaces/NAMESPACE/pods/NAME/proxy/` before what the pod sees."""


class Proxies:
    """Serves the `proxy` subresources through a node agent."""

    def __init__(self, store: Store, kubelet: Kubelet | None) -> None:
        self._store = store
        self._kubelet = kubelet
        self._open: set[asyncio.Task[ApiError | None]] = set()

    async def serve(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request to a pod and its answer back. Raises ApiError before an answer has begun."""
        prefix, slash, rest = _split(scope)
        if not slash and call.verb == "get":
            await _redirect(scope, send)
            return
        asked = named(call.name, call.resource.kind.lower())
        target = self._target(call, asked)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        body = await read_body(scope, receive)
        client = (scope.get("client") or ("",))[0]
        path = b"/" + rest
        head = request_head(scope["method"], path + query, prefix + path, scope["headers"], client, len(body))
        exchange = _Exchange(send, prefix, bodiless=scope["method"] == "HEAD")
        carrying = spawn(self._carry(call.namespace, target, asked.scheme, head + body, exchange), name="proxy")
        left = spawn(until_disconnected(receive), name="proxy client")
        left.add_done_callback(lambda _: carrying.cancel())
        self._open.add(carrying)
        try:
            await asyncio.wait([carrying])
        finally:
            self._open.discard(carrying)
            await cancel_all([left, carrying])
        if not carrying.cancelled() and (refusal := carrying.result()) is not None:
            raise refusal

    def close(self) -> None:
        """End all requests that are under way."""
        for carrying in self._open:
            carrying.cancel()

    def _target(self, call: Call, asked: Named) -> Target:
        if call.resource.kind == "Pod":
            return pod_target(pod_on_node(self._store, replace(call, name=asked.name)), asked)
        record = self._store.get(Location("services", call.namespace, asked.name))
        service = record.decode() if record is not None else None
        return secrets.choice(service_targets(service, self._slices(call.namespace, asked.name), asked))

    def _slices(self, namespace: str, service: str) -> list[Object]:
        records = self._store.records(_SLICES, namespace)
        return [record.decode() for record in records if record.labels.get(_SERVICE_NAME) == service]

    async def _carry(
        self, namespace: str, target: Target, scheme: str, request: bytes, exchange: "_Exchange"
    ) -> ApiError | None:
        """Send a request and pass its answer on; returns why there is none."""
        try:
            reader, writer = await agent(self._kubelet).dial(namespace, target.pod, target.port)
        except (ApiError, OSError) as error:
            return _unreachable(error)
        try:
            if scheme == "https":
                await writer.start_tls(_any_certificate())
            writer.write(request)
            await exchange.pass_on(reader)
        except (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return None if exchange.started else _unreachable(error)
        finally:
            writer.close()
        return None


def _unreachable(error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(f"error trying to reach service: {error}")


def _split(scope: Scope) -> tuple[bytes, bytes, bytes]:
    """Return the path up to the pod's own, as the client wrote it, whether that begins, and what it is."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    parts = raw.split(b"/", _BEFORE_REST)
    if len(parts) < _BEFORE_REST or parts[_BEFORE_REST - 1] != b"proxy":
        raise NotFound("the server could not find the requested resource")
    whole = len(parts) > _BEFORE_REST
    return b"/".join(parts[:_BEFORE_REST]), b"/" if whole else b"", parts[_BEFORE_REST] if whole else b""


async def _redirect(scope: Scope, send: Send) -> None:
    """Lead to the path that ends in a slash, against which relative links of a page are resolved."""
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    location = bytes(scope.get("raw_path") or scope["path"].encode()) + b"/" + query
    head = [(b"location", location), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 301, "headers": head})
    await send({"type": "http.response.body", "body": b""})


def _any_certificate() -> ssl.SSLContext:
    """Return TLS settings that take any certificate: nobody said by what name a pod's would be checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Exchange:
    """One answer on its way; its `on_*` methods are what httptools calls."""

    def __init__(self, send: Send, prefix: bytes, *, bodiless: bool) -> None:
        self.started = False
        self._send = send
        self._prefix = prefix
        self._bodiless = bodiless
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._status = 0
        self._pieces: list[bytes] = []
        self._complete = False

    async def pass_on(self, reader: asyncio.StreamReader) -> None:
        """Pass an answer on until it is complete. Raises OSError or HttpParserError for what is none."""
        while not self._complete and (piece := await reader.read(_PIECE)):
            self._parser.feed_data(piece)
            await self._flush()
        if not self._status or not (self._complete or self._ends_with_the_connection()):
            raise ConnectionResetError("the connection was closed before the answer was complete")
        await self._send({"type": "http.response.body", "body": b""})

    def _ends_with_the_connection(self) -> bool:
        return not any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    async def _flush(self) -> None:
        if self._status and not self.started:
            self.started = True
            head = answer_headers(self._headers, self._prefix)
            await self._send({"type": "http.response.start", "status": self._status, "headers": head})
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 1xx announce the real answer
            self._headers.clear()
            return
        self._status = status
        self._complete = self._bodiless

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._complete = self._complete or bool(self._status)

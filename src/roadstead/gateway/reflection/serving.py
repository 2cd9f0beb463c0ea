"""The reflection service of the gateway, both versions: for each question it asks the backends and merges the answers.

It is served on a Unix socket of its own, never on that of xDS, which gives out private keys. Envoy says in a header,
which no client can set, at which virtual host a tool asks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import structlog
from grpc_reflection.v1alpha import reflection_pb2

from roadstead.gateway.ir import Proxies, VirtualHost
from roadstead.gateway.reflection.asking import Asker, Silence
from roadstead.gateway.reflection.merging import Outlook, merged_services
from roadstead.gateway.reflection.wiring import HOST_HEADER, METHOD, V1, V1ALPHA, host_key

_AT_ONCE = 64
_log = structlog.get_logger(__name__)
_LIST, _SYMBOL, _NUMBERS = "list_services", "file_containing_symbol", "all_extension_numbers_of_type"


class Place(NamedTuple):
    """Where a tool asks: a virtual host, and the socket of an Envoy that serves it."""

    host: VirtualHost
    socket: str


def find_place(key: str, proxies: Proxies, sockets_of: Callable[[str], Sequence[str]]) -> Place | None:
    """Return where the virtual host of this key is, None if it or an Envoy that serves it is not there."""
    for proxy in proxies.values():
        for host in (host for table in proxy.route_tables for host in table.virtual_hosts):
            if host_key(host.name, host.listener) == key:
                sockets = sockets_of(proxy.key)
                return Place(host, sockets[0]) if sockets else None
    return None


def _make_room(path: Path) -> None:
    path.unlink(missing_ok=True)


def _close_to_others(path: Path) -> None:
    path.chmod(0o600)


class ReflectionServer(grpc.GenericRpcHandler):
    """Serves reflection for all virtual hosts; `find` says by a host's key where that is."""

    def __init__(self, find: Callable[[str], Place | None]) -> None:
        self._find = find
        self._server: grpc.aio.Server | None = None

    async def start(self, path: Path) -> None:
        """Listen on a Unix socket that only this user may open. Raises OSError where it cannot be made."""
        _make_room(path)
        self._server = grpc.aio.server(maximum_concurrent_rpcs=_AT_ONCE)
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"unix:{path}")
        await self._server.start()
        _close_to_others(path)

    async def stop(self) -> None:
        """End all conversations and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of a method, as grpcio asks for it."""
        if details.method not in (f"/{V1}/{METHOD}", f"/{V1ALPHA}/{METHOD}"):
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._converse,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )

    async def _converse(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        metadata = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        place = self._find(metadata.get(HOST_HEADER, ""))
        if place is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gateway does not know this host any more")
            return
        async with Asker(place.socket) as asker:
            conversation = Conversation(Outlook(place.host, metadata), asker)
            async for request in requests:
                yield await conversation.answer(request)


class Conversation:
    """One tool's questions: what backends have is asked once, and who answered last is preferred."""

    def __init__(self, outlook: Outlook, asker: Asker) -> None:
        self._outlook = outlook
        self._asker = asker
        self._services: dict[str, frozenset[str]] | None = None
        self._silent: dict[str, Silence] = {}
        self._last = ""

    async def answer(self, request: Any) -> Any:
        """Return the ServerReflectionResponse to one question."""
        services = await self._known()
        kind = request.WhichOneof("message_request")
        if not services and self._outlook.backends:
            answer = _error(*self._all_silent())
        elif kind == _LIST:
            answer = reflection_pb2.ServerReflectionResponse()
            for name in merged_services(self._outlook, services, (V1, V1ALPHA)):
                answer.list_services_response.service.add(name=name)
        elif kind == _NUMBERS:
            answer = await self._numbers(request)
        else:
            answer = await self._first(_plain(request, services), self._order(request, kind, services))
        answer.valid_host = request.host
        answer.original_request.CopyFrom(request)
        return answer

    async def _known(self) -> Mapping[str, frozenset[str]]:
        if self._services is None:
            clusters = self._outlook.backends
            found = await asyncio.gather(*(self._asker.services(cluster) for cluster in clusters))
            answers = dict(zip(clusters, found, strict=True))
            self._silent = {cluster: one for cluster, one in answers.items() if isinstance(one, Silence)}
            self._services = {cluster: one for cluster, one in answers.items() if not isinstance(one, Silence)}
        return self._services

    def _order(self, request: Any, kind: str | None, services: Mapping[str, frozenset[str]]) -> list[str]:
        symbol = request.file_containing_symbol if kind == _SYMBOL else ""
        return [cluster for cluster in self._outlook.order(symbol, services, self._last) if cluster in services]

    async def _first(self, request: Any, clusters: list[str]) -> Any:
        """Return the first answer that is none of "not found"."""
        answer: Any = None
        for cluster in clusters:
            answer = await self._asker.ask(cluster, request)
            if not isinstance(answer, Silence) and answer.WhichOneof("message_response") != "error_response":
                self._last = cluster
                return answer
        if answer is None or isinstance(answer, Silence):
            return _error(grpc.StatusCode.NOT_FOUND, "no backend of this host knows it")
        return answer

    async def _numbers(self, request: Any) -> Any:
        """Return the extension numbers that any backend knows of a type."""
        found = [await self._asker.ask(cluster, request) for cluster in await self._known()]
        told = [
            one.all_extension_numbers_response
            for one in found
            if not isinstance(one, Silence) and one.HasField("all_extension_numbers_response")
        ]
        if not told:
            return _error(grpc.StatusCode.NOT_FOUND, "no backend of this host knows it")
        answer = reflection_pb2.ServerReflectionResponse()
        answer.all_extension_numbers_response.base_type_name = told[0].base_type_name
        answer.all_extension_numbers_response.extension_number.extend(
            sorted({number for one in told for number in one.extension_number})
        )
        return answer

    def _all_silent(self) -> tuple[grpc.StatusCode, str]:
        code = next(iter(self._silent.values())).code
        said = "; ".join(f"{cluster}: {one.code.name}: {one.message}" for cluster, one in self._silent.items())
        return code, f"no backend of this host answers reflection: {said}"


def _plain(request: Any, services: Mapping[str, frozenset[str]]) -> Any:
    """Return the question that every backend understands: not all find a method, but its service they do."""
    service = request.file_containing_symbol.rpartition(".")[0]
    if not any(service in found for found in services.values()):
        return request
    return reflection_pb2.ServerReflectionRequest(host=request.host, file_containing_symbol=service)


def _error(code: grpc.StatusCode, message: str) -> Any:
    answer = reflection_pb2.ServerReflectionResponse()
    answer.error_response.error_code = code.value[0]
    answer.error_response.error_message = message
    return answer

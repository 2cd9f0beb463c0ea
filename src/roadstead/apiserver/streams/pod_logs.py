"""The `log` subresource: what a container wrote, as the node agent hands it over, passed on as it comes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.types import Receive, Send

from roadstead.api.errors import ApiError, BadRequest, ServiceUnavailable
from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver.calls import Call, missing
from roadstead.apiserver.http.exchange import end_stream, send_chunk, start_stream, until_disconnected
from roadstead.apiserver.http.parameters import Query, first, flag, number
from roadstead.apiserver.store import Store
from roadstead.apiserver.streams.kubelet import Kubelet, LogOptions
from roadstead.lib.tasks import cancel_all, spawn

_SILENCE_SECONDS = 0.5
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def log_options(query: Query) -> LogOptions:
    """Read `PodLogOptions`. Raises BadRequest."""
    since_seconds, since_time = number(query, "sinceSeconds"), first(query, "sinceTime")
    if since_seconds is not None and since_time:
        raise BadRequest("at most one of sinceTime or sinceSeconds may be specified")
    options = LogOptions(
        follow=flag(query, "follow"),
        tail_lines=number(query, "tailLines"),
        since_seconds=since_seconds,
        since_time=since_time,
        timestamps=flag(query, "timestamps"),
        previous=flag(query, "previous"),
        limit_bytes=number(query, "limitBytes"),
    )
    limits = (
        ("tailLines", options.tail_lines, 0),
        ("sinceSeconds", since_seconds, 1),
        ("limitBytes", options.limit_bytes, 1),
    )
    for name, value, least in limits:
        if value is not None and value < least:
            raise BadRequest(f"{name}: must be greater than or equal to {least}")
    return options


def container_of(pod: ReadOnlyObject, wanted: str, *, default_by_annotation: bool = True) -> str:
    """Return the container that a request means. Raises BadRequest, which lists them, if that is not clear."""
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    containers = [entry["name"] for entry in spec.get("containers") or ()]
    others = [entry["name"] for kind in ("initContainers", "ephemeralContainers") for entry in spec.get(kind) or ()]
    if wanted:
        if wanted not in containers and wanted not in others:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER) if default_by_annotation else None
    if annotated in containers:
        return str(annotated)
    if len(containers) != 1:
        choices = f"choose one of: [{' '.join(containers)}]"
        if others:
            choices += f" or one of the init containers: [{' '.join(others)}]"
        raise BadRequest(f"a container name must be specified for pod {name}, {choices}")
    return str(containers[0])


class PodLogs:
    """Serves logs from a node agent, once there is one."""

    def __init__(self, store: Store, kubelet: Kubelet | None) -> None:
        self._store = store
        self._kubelet = kubelet
        self._open: set[asyncio.Task[ApiError | None]] = set()

    async def serve(self, call: Call, receive: Receive, send: Send) -> None:
        """Stream a log until it ends, its client leaves, or the server stops. Raises ApiError."""
        options = log_options(call.query)
        container = container_of(pod_on_node(self._store, call), first(call.query, "container"))
        chunks = agent(self._kubelet).logs(call.namespace, call.name, container, options)
        copying = spawn(_copy(chunks, send), name=f"log of {call.namespace}/{call.name}")
        left = spawn(until_disconnected(receive), name="log client")
        left.add_done_callback(lambda _: copying.cancel())
        self._open.add(copying)
        try:
            await asyncio.wait([copying])
        finally:
            self._open.discard(copying)
            await cancel_all([left, copying])
        if not copying.cancelled() and (refusal := copying.result()) is not None:
            raise refusal

    def close(self) -> None:
        """End all logs that are being followed."""
        for copying in self._open:
            copying.cancel()


async def _copy(chunks: AsyncIterator[bytes], send: Send) -> ApiError | None:
    """Pass on a log; returns the agent's refusal, if that is what came instead of it.

    A refusal comes at once or never, so a log that is silent at first begins after a moment, for its client to know.
    """
    pending = spawn(_next(chunks), name="log")
    started = False
    try:
        await asyncio.wait([pending], timeout=_SILENCE_SECONDS)
        if pending.done() and isinstance(part := pending.result(), ApiError):
            return part
        await start_stream(send, b"text/plain")
        started = True
        part = await pending
        while isinstance(part, bytes):
            await send_chunk(send, part)
            part = await _next(chunks)
        await end_stream(send)
        return None
    except asyncio.CancelledError:  # the client left, or the server stops: what was begun is ended properly
        if not started:
            return ServiceUnavailable("the server is stopping")
        await end_stream(send)
        return None
    finally:
        await cancel_all([pending])
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def _next(chunks: AsyncIterator[bytes]) -> bytes | ApiError | None:
    try:
        return await anext(chunks, None)
    except ApiError as error:
        return error


def agent(kubelet: Kubelet | None) -> Kubelet:
    """Return the node agent. Raises ServiceUnavailable if this server has none."""
    if kubelet is None:
        raise ServiceUnavailable("no node agent is connected to this API server")
    return kubelet


def pod_on_node(store: Store, call: Call) -> ReadOnlyObject:
    """Return the pod of a call. Raises NotFound, or BadRequest if it runs nowhere yet."""
    record = store.get(call.location)
    if record is None:
        raise missing(call.resource, call.name)
    pod = record.decode()
    if not (pod.get("spec") or {}).get("nodeName"):
        raise BadRequest(f"pod {call.name} does not have a host assigned")
    return pod

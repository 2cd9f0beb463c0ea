"""The `log` subresource: what a container wrote, as the node agent hands it over, passed on as it comes."""

import asyncio

from starlette.types import Receive, Send

from roadstead.api.errors import BadRequest, ServiceUnavailable
from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver.calls import Call, missing
from roadstead.apiserver.exchange import end_stream, send_chunk, start_stream, until_disconnected
from roadstead.apiserver.kubelet import Kubelet, LogOptions
from roadstead.apiserver.parameters import Query, first, flag, number
from roadstead.apiserver.store import Store
from roadstead.lib.tasks import cancel_all, spawn

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

    async def serve(self, call: Call, receive: Receive, send: Send) -> None:
        """Stream a log. Raises ApiError as long as nothing was sent."""
        options = log_options(call.query)
        pod = pod_on_node(self._store, call)
        container = container_of(pod, first(call.query, "container"))
        chunks = aiter(agent(self._kubelet).logs(call.namespace, call.name, container, options))
        # The agent's refusal, if any, comes with the first chunk: it must come before the head of the answer.
        chunk = await anext(chunks, None)
        await start_stream(send, b"text/plain")

        async def copy() -> None:
            part = chunk
            while part is not None:
                await send_chunk(send, part)
                part = await anext(chunks, None)
            await end_stream(send)

        copying = spawn(copy(), name=f"log of {call.namespace}/{call.name}")
        left = spawn(until_disconnected(receive), name="log client")
        left.add_done_callback(lambda _: copying.cancel())
        try:
            await asyncio.wait([copying])
        finally:
            await cancel_all([left, copying])


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

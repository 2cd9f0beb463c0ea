"""Asks the backends of an Envoy for their reflection, through that Envoy.

Both versions of reflection have the same messages on the wire, so those of v1alpha, which grpcio brings, do for both.
"""

from types import TracebackType
from typing import Any, NamedTuple

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from roadstead.gateway.reflection.wiring import CLUSTER_HEADER, METHOD, V1, V1ALPHA

PATIENCE = 5.0
_LONGEST_ANSWER = 16 << 20
_log = structlog.get_logger(__name__)


class Silence(NamedTuple):
    """Why a backend has not answered."""

    code: grpc.StatusCode
    message: str


class Asker:
    """An Envoy, asked; an asynchronous context manager."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._versions: dict[str, str] = {}

    async def __aenter__(self) -> "Asker":
        options = (("grpc.max_receive_message_length", _LONGEST_ANSWER), ("grpc.use_local_subchannel_pool", 1))
        self._channel = grpc.aio.insecure_channel(f"unix:{self._socket}", options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def ask(self, cluster: str, request: Any) -> Any:
        """Return a backend's ServerReflectionResponse, or Silence; v1alpha where it does not know v1."""
        known = self._versions.get(cluster)
        answer: Any = Silence(grpc.StatusCode.UNIMPLEMENTED, "")
        for version in [known] if known else [V1, V1ALPHA]:
            answer = await self._ask(cluster, version, request)
            if not isinstance(answer, Silence):
                self._versions[cluster] = version
            if not isinstance(answer, Silence) or answer.code is not grpc.StatusCode.UNIMPLEMENTED:
                break
        return answer

    async def services(self, cluster: str) -> frozenset[str] | Silence:
        """Return the names of the services that a backend says it has."""
        answer = await self.ask(cluster, reflection_pb2.ServerReflectionRequest(list_services="*"))
        if isinstance(answer, Silence):
            return answer
        return frozenset(one.name for one in answer.list_services_response.service)

    async def _ask(self, cluster: str, version: str, request: Any) -> Any:
        call = self._channel.stream_stream(
            f"/{version}/{METHOD}",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=_decoded,
        )(metadata=((CLUSTER_HEADER, cluster),), timeout=PATIENCE)
        try:
            await call.write(request)
            await call.done_writing()
            answer = await call.read()
        except grpc.aio.AioRpcError as error:
            return Silence(error.code(), error.details() or "")
        except (grpc.aio.UsageError, grpc.aio.InternalError):  # The call was over before it was written.
            return Silence(await call.code(), await call.details() or "")
        if answer is grpc.aio.EOF or answer is None:
            code = await call.code()
            return Silence(
                code if code is not grpc.StatusCode.OK else grpc.StatusCode.INTERNAL, await call.details() or ""
            )
        call.cancel()
        return answer


def _decoded(content: bytes) -> Any:
    try:
        return reflection_pb2.ServerReflectionResponse.FromString(content)
    except DecodeError:
        return None

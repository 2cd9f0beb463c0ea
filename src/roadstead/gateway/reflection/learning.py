"""Learns the descriptors of backends from their reflection, for routes that take JSON.

Translation asks for what is known of a cluster; that it has asked is what makes it worth knowing. A backend is asked
again when its endpoints have changed, and after a while when it has not answered; what it said last counts until then.
Nobody waits for it: a route is served without JSON for as long as nothing is known.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from roadstead.gateway.ir import EndpointSet, Proxies
from roadstead.gateway.reflection.asking import Asker, Silence
from roadstead.gateway.reflection.wiring import V1, V1ALPHA

_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0
_SHORTEST_WAIT = 0.05
_MOST_FILES = 1_000
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Lesson:
    """What is known of a cluster (nothing yet: None), for which endpoints, and when it is to be asked again.

    `due` is infinite while there is no Envoy through which it could be asked.
    """

    told: bytes | str | None = None
    endpoints: EndpointSet | None = None
    due: float = 0.0
    pause: float = _FIRST_RETRY


class Learner(Mapping[str, bytes | str]):
    """By cluster its descriptors, encoded as a FileDescriptorSet, or why there are none, as a sentence."""

    def __init__(self, proxies: Callable[[], Proxies], sockets_of: Callable[[str], Sequence[str]]) -> None:
        self._proxies, self._sockets_of = proxies, sockets_of
        self._lessons: dict[str, _Lesson] = {}
        self._wake = asyncio.Event()
        self._callback: Callable[[str], None] = lambda _cluster: None

    def __getitem__(self, cluster: str) -> bytes | str:
        if cluster not in self._lessons:
            self._lessons[cluster] = _Lesson()
            self._wake.set()
        told = self._lessons[cluster].told
        if told is None:
            raise KeyError(cluster)
        return told

    def __iter__(self) -> Iterator[str]:
        return (cluster for cluster, lesson in self._lessons.items() if lesson.told is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def is_asked(self) -> bool:
        """Say whether anybody wants to know anything."""
        return bool(self._lessons)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call back with a cluster, in the event loop, when something else is known of it."""
        self._callback = callback

    def look(self) -> None:
        """Look whether endpoints have changed or an Envoy has come."""
        if self._lessons:
            self._wake.set()

    async def run(self) -> None:
        """Learn until cancelled."""
        while True:
            self._wake.clear()
            await self.learn()
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _until_due(self) -> float | None:
        now = asyncio.get_running_loop().time()
        waits = [lesson.due - now for lesson in self._lessons.values() if not isinstance(lesson.told, bytes)]
        return max(min(waits), _SHORTEST_WAIT) if waits and min(waits) < math.inf else None

    async def learn(self) -> None:
        """Ask once what is to be asked now."""
        now = asyncio.get_running_loop().time()
        proxies = self._proxies()
        async with asyncio.TaskGroup() as tasks:
            for cluster, lesson in self._lessons.items():
                place = self._place(cluster, proxies)
                if place is None:
                    lesson.due = math.inf
                    continue
                socket, endpoints = place
                lesson.due = now if lesson.due == math.inf else lesson.due
                if endpoints != lesson.endpoints or (not isinstance(lesson.told, bytes) and now >= lesson.due):
                    lesson.endpoints = endpoints
                    tasks.create_task(self._learn(cluster, lesson, socket), name=f"learn {cluster}")

    def _place(self, cluster: str, proxies: Proxies) -> tuple[str, EndpointSet | None] | None:
        """Return an Envoy that has this cluster, and the cluster's endpoints."""
        for proxy in proxies.values():
            found = next((one for one in proxy.clusters if one.name == cluster), None)
            sockets = self._sockets_of(proxy.key) if found is not None else ()
            if found is not None and sockets:
                return sockets[0], next((one for one in proxy.endpoints if one.name == found.endpoints), None)
        return None

    async def _learn(self, cluster: str, lesson: _Lesson, socket: str) -> None:
        async with Asker(socket) as asker:
            told = await described(asker, cluster)
        if isinstance(told, bytes):
            lesson.pause = _FIRST_RETRY
        else:
            lesson.due = asyncio.get_running_loop().time() + lesson.pause
            lesson.pause = min(2 * lesson.pause, _LAST_RETRY)
            if isinstance(lesson.told, bytes):
                _log.warning("backend does not describe itself any more", cluster=cluster, why=told)
                return
        if told != lesson.told:
            lesson.told = told
            self._callback(cluster)


async def described(asker: Asker, cluster: str) -> bytes | str:
    """Return all descriptors of a backend's services, or why they cannot be had."""
    services = await asker.services(cluster)
    if isinstance(services, Silence):
        return f"its reflection does not answer: {services.code.name}: {services.message}"
    files: dict[str, Any] = {}
    for service in sorted(services - {V1, V1ALPHA}):
        answer = await asker.ask(cluster, reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
        wrong = _take(answer, files)
        if wrong:
            return f"its reflection does not tell what {service} is: {wrong}"
    while missing := _missing(files):
        answer = await asker.ask(cluster, reflection_pb2.ServerReflectionRequest(file_by_filename=missing))
        if _take(answer, files) or missing not in files:
            files[missing] = None  # Files of protobuf itself are known without being told.
        if len(files) > _MOST_FILES:
            return f"its reflection tells of more than {_MOST_FILES} files"
    told = [file for file in files.values() if file is not None]
    encoded: bytes = descriptor_pb2.FileDescriptorSet(file=told).SerializeToString(deterministic=True)
    return encoded


def _missing(files: Mapping[str, Any]) -> str | None:
    imports = (name for file in files.values() if file is not None for name in file.dependency)
    return next((name for name in imports if name not in files), None)


def _take(answer: Any, files: dict[str, Any]) -> str:
    """Take the files of an answer; return why there are none."""
    if isinstance(answer, Silence):
        return f"{answer.code.name}: {answer.message}"
    if not answer.HasField("file_descriptor_response"):
        return str(answer.error_response.error_message) or "it does not know it"
    try:
        for encoded in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            files.setdefault(file.name, file)
    except DecodeError:
        return "what it sends is no descriptor"
    return ""

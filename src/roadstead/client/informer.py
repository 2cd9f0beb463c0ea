"""An informer: one collection kept in memory, always. `watch` decides, `cache` keeps; here is only the waiting."""

import asyncio
import logging
import random
from collections.abc import Mapping

import structlog

from roadstead.api.errors import ApiError, NotFound
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.client.cache import Cache, IndexFunction, Listener
from roadstead.client.client import ApiClient
from roadstead.client.watch import Mode, Reflector

_log = structlog.get_logger(__name__)

# Servers send a bookmark about once a minute and end a watch in order; silence for longer means a dead connection.
_WATCH_SECONDS = (240, 480)
_SILENCE = 120.0
# A server that is just starting may not yet serve kinds that are defined in it: one and a half seconds.
_ABSENCES_BELIEVED = 6


class Informer:
    """Objects of one resource, as `objects`, by index, and as calls; start `run` as a background task."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.resource = resource
        self._client = client
        self._reflector = Reflector(resource, namespace, label_selector, field_selector)
        self._cache = Cache()
        self._synced = asyncio.Event()
        self._known = asyncio.Event()
        self._absences = 0

    @property
    def objects(self) -> Mapping[ObjectKey, Object]:
        """The collection as last heard of; a live view. Its objects are not to be changed."""
        return self._cache.objects

    @property
    def synced(self) -> bool:
        """Whether the collection has been read once."""
        return self._synced.is_set()

    def on_change(self, callback: Listener) -> None:
        """Call `callback(key, old, new)` for all there is now and for every change; None stands for absence."""
        self._cache.add_listener(callback)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by the strings that `function` gives for each."""
        self._cache.add_index(name, function)

    def indexed(self, name: str, value: str) -> list[Object]:
        """Return the objects with this value in an index."""
        return self._cache.indexed(name, value)

    def wrote(self, obj: Object) -> None:
        """See a write of one's own at once: `obj` is the server's answer to it."""
        self._cache.wrote(obj)

    def deleted(self, obj: ReadOnlyObject) -> None:
        """See a deletion of one's own at once, once the server has said that the object is gone."""
        self._cache.deleted(obj)

    async def wait_synced(self) -> None:
        """Wait until the collection has been read once."""
        await self._synced.wait()

    async def wait_known(self) -> None:
        """Wait until the collection has been read once, or the server has said a few times that it has no such kind.

        Such a kind is empty for now. It is asked for on and on: its definition may be installed later.
        """
        await self._known.wait()

    async def run(self) -> None:
        """Follow the collection until cancelled; failures are logged and tried again, later and later."""
        while True:
            try:
                await self._round()
                self._reflector.ended()
            except ApiError as error:
                level = logging.INFO if self._reflector.failures else logging.DEBUG
                _log.log(level, "watch interrupted", resource=self.resource.plural, error=error.message)
                self._reflector.failed(error)
                self._absences = self._absences + 1 if isinstance(error, NotFound) else 0
                if self._absences >= _ABSENCES_BELIEVED:
                    self._known.set()
            if pause := self._reflector.pause(random.random()):  # noqa: S311  spreads load, guards nothing
                await asyncio.sleep(pause)

    async def _round(self) -> None:
        reflector = self._reflector
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311  spreads load, guards nothing
        mode, request = reflector.mode, reflector.request(seconds)
        if mode is Mode.LISTING:
            self._cache.apply(reflector.listed(await self._client.request(request)))
            self._read()
            return
        async for line in self._client.watch_lines(request, idle_timeout=_SILENCE):
            change = reflector.line(line)
            if change is not None:
                self._cache.apply(change)
            if reflector.mode is Mode.WATCHING and not self._synced.is_set():
                self._read()

    def _read(self) -> None:
        """Note that the collection has been read once."""
        self._synced.set()
        self._known.set()

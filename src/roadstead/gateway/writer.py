"""Writes statuses: the newest wanted ones, only where they differ, several at once, never over a newer object.

`statuses` decides what a patch says; here it is sent. A refusal because the object has changed (409) needs no care: the
informer will tell of the change, and what is then still to be said is said.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import UTC, datetime

import structlog

from roadstead.api.errors import ApiError, Conflict, NotFound
from roadstead.api.objects import Object, ObjectKey
from roadstead.api.resources import Resource, resource
from roadstead.client import ApiClient
from roadstead.gateway.statuses import StatusUpdate, patch_for

_AT_ONCE = 16
_RETRY_SECONDS = 1.0
_FIELD_MANAGER = "roadstead-gateway"
_log = structlog.get_logger(__name__)

_Name = tuple[str, ObjectKey]
Lookup = Callable[[str, ObjectKey], Object | None]


class StatusWriter:
    """Brings statuses to what was last wanted; `current` looks an object up by kind and key."""

    def __init__(self, client: ApiClient, current: Lookup) -> None:
        self._client = client
        self._current = current
        self._wanted: dict[_Name, StatusUpdate] = {}
        self._sources: dict[Hashable, dict[_Name, StatusUpdate]] = {}
        self._due: asyncio.Queue[_Name] = asyncio.Queue()
        self._queued: set[_Name] = set()

    def wanted(self, stated: Mapping[Hashable, Iterable[StatusUpdate]]) -> None:
        """Want these statuses from now on, instead of those that the same sources stated before.

        What is equal to what was wanted before is not looked at again.
        """
        for source, updates in stated.items():
            made = {(update.kind, update.key): update for update in updates}
            for name, update in self._sources.pop(source, {}).items():
                if name not in made and self._wanted.get(name) is update:
                    del self._wanted[name]
            for name, update in made.items():
                known = self._wanted.get(name)
                self._wanted[name] = update
                if known != update:
                    self._put(name)
            if made:
                self._sources[source] = made

    def look_at(self, kind: str, key: ObjectKey) -> None:
        """Look at an object again: it may have changed."""
        if (kind, key) in self._wanted:
            self._put((kind, key))

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as writers:
            for number in range(_AT_ONCE):
                writers.create_task(self._write_all(), name=f"status writer {number}")

    def _put(self, name: _Name) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._due.put_nowait(name)

    async def _write_all(self) -> None:
        while True:
            name = await self._due.get()
            self._queued.discard(name)
            if not await self._write(name):
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._put, name)

    async def _write(self, name: _Name) -> bool:
        """Return whether nothing is left to do for this one."""
        update, current = self._wanted.get(name), self._current(*name)
        if update is None or current is None:
            return True
        patch = patch_for(update, current, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        return patch is None or await self._send(resource(update.kind), update.key, patch)

    async def _send(self, kind: Resource, key: ObjectKey, patch: Object) -> bool:
        try:
            await self._client.patch(
                kind, key.name, key.namespace, patch, subresource="status", field_manager=_FIELD_MANAGER
            )
        except (Conflict, NotFound):
            return True
        except ApiError as error:
            _log.warning("status not written", kind=kind.kind, object=str(key), error=error.message)
            return False
        return True

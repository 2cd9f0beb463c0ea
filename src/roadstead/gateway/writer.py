"""Writes statuses: the newest wanted ones, only where they differ, several at once, never over a newer object.

`statuses` decides what a patch says; here it is sent. A refusal because the object has changed (409) needs no care: the
informer will tell of the change, and what is then still to be said is said.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from roadstead.api.errors import ApiError, Conflict, NotFound
from roadstead.api.objects import Object, ObjectKey
from roadstead.api.resources import resource
from roadstead.client import ApiClient
from roadstead.gateway.statuses import StatusUpdate, patch_for

_AT_ONCE = 16
_RETRY_SECONDS = 1.0
_FIELD_MANAGER = "roadstead-gateway"
_log = structlog.get_logger(__name__)

Lookup = Callable[[str, ObjectKey], Object | None]


class StatusWriter:
    """Brings statuses to what was last wanted; `current` looks an object up by kind and key."""

    def __init__(self, client: ApiClient, current: Lookup) -> None:
        self._client = client
        self._current = current
        self._wanted: dict[tuple[str, ObjectKey], StatusUpdate] = {}
        self._said: dict[tuple[str, ObjectKey], tuple[StatusUpdate, Object]] = {}
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def wanted(self, updates: Sequence[StatusUpdate]) -> None:
        """Want these statuses from now on, instead of those before."""
        self._wanted = {(update.kind, update.key): update for update in updates}
        self._said = {name: said for name, said in self._said.items() if name in self._wanted}
        self._wake.set()

    def wake(self) -> None:
        """Look again: some object may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            patches = [(update, patch) for update in self._wanted.values() if (patch := self._patch(update))]
            done = await asyncio.gather(*(self._write(update, patch) for update, patch in patches))
            if not all(done):
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    def _patch(self, update: StatusUpdate) -> Object | None:
        name = (update.kind, update.key)
        current = self._current(*name)
        if current is None:
            return None
        said = self._said.get(name)
        if said is not None and said[0] is update and said[1] is current:
            return None
        patch = patch_for(update, current, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if patch is None:
            self._said[name] = (update, current)
        return patch

    async def _write(self, update: StatusUpdate, patch: Object) -> bool:
        """Return whether nothing is left to do for this one."""
        kind, key = resource(update.kind), update.key
        async with self._slots:
            try:
                await self._client.patch(
                    kind, key.name, key.namespace, patch, subresource="status", field_manager=_FIELD_MANAGER
                )
            except (Conflict, NotFound):
                return True
            except ApiError as error:
                _log.warning("status not written", kind=update.kind, object=str(key), error=error.message)
                return False
        return True

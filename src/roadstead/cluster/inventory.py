"""What is in a cluster now: the kinds that say whether a system is up, watched together.

The command line asks it what to show; `readiness` and `reach` do the judging.
"""

import asyncio
from collections.abc import Callable

from roadstead.api.objects import Object
from roadstead.api.resources import Resource, resource
from roadstead.client import ApiClient, Informer
from roadstead.cluster.readiness import JUDGED, standings
from roadstead.cluster.standing import Standing
from roadstead.lib import tasks

WATCHED = (*JUDGED, "Service", "Event")


class Inventory:
    """Live copies of the watched kinds; enter it to watch, leave it to stop."""

    def __init__(self, client: ApiClient) -> None:
        self._informers = {kind: Informer(client, _resource(kind)) for kind in WATCHED}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Inventory":
        for kind, informer in self._informers.items():
            informer.on_change(lambda _key, _old, _new: self._changed.set())
            self._tasks.append(tasks.spawn(informer.run(), name=f"inventory {kind}"))
        try:
            for informer in self._informers.values():
                await informer.wait_known()
        except BaseException:  # interrupted: nobody will leave what was never entered
            await tasks.cancel_all(self._tasks)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await tasks.cancel_all(self._tasks)

    @property
    def objects(self) -> dict[str, list[Object]]:
        """All objects of each watched kind."""
        return {kind: list(informer.objects.values()) for kind, informer in self._informers.items()}

    def standings(self) -> list[Standing]:
        """How everything stands now."""
        return standings(self.objects)

    async def change(self) -> None:
        """Wait until something has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    async def settle(self, on_change: Callable[[list[Standing]], None], patience: float) -> list[Standing]:
        """Wait until all is ready, or `patience` seconds are over, or only failures remain; return how all stands.

        What has failed may still come right (a Secret that is applied a moment later), so a failure ends the wait only
        after `_FAILURE_PATIENCE` seconds in which nothing changed.
        """
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            current = self.standings()
            on_change(current)
            if all(standing.state == "ready" for standing in current):
                return current
            wait = deadline - asyncio.get_running_loop().time()
            if all(standing.state != "waiting" for standing in current):
                wait = min(wait, _FAILURE_PATIENCE)
            try:
                async with asyncio.timeout(max(wait, 0)):
                    await self.change()
            except TimeoutError:
                return self.standings()


_FAILURE_PATIENCE = 5.0


def _resource(kind: str) -> Resource:
    return resource(kind, "v1" if kind == "Event" else None)

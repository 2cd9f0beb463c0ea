"""Informers shared by the parts of one process: each collection is watched once, however many parts look at it.

Where parts run in processes of their own (a gateway in a cluster), each makes its own informers; so parts take an
`Informers`, a way to get them, and do not know which it is.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from roadstead.api.resources import Resource
from roadstead.client.client import ApiClient
from roadstead.client.informer import Informer
from roadstead.lib.tasks import cancel_all, spawn


class Informers(Protocol):
    """Gives an informer for a collection; who gets it calls `run` and may stop that again at any time."""

    def __call__(self, resource: Resource, *, label_selector: str = "") -> Informer:
        """Return the informer of a resource in all namespaces, of all objects or of those that are selected."""


def own_informers(client: ApiClient) -> Informers:
    """Return informers that nobody shares."""
    return partial(Informer, client)


class SharedInformers:
    """One informer a collection, started when somebody first runs it and stopped by `aclose` alone."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._informers: dict[tuple[Resource, str], _Shared] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def __call__(self, resource: Resource, *, label_selector: str = "") -> Informer:
        """Return the informer of this collection."""
        key = (resource, label_selector)
        if key not in self._informers:
            self._informers[key] = _Shared(self._client, resource, label_selector, self._start)
        return self._informers[key]

    def _start(self, informer: "_Shared") -> asyncio.Task[None]:
        task = spawn(informer.follow(), name=f"informer of {informer.resource.plural}")
        self._tasks.append(task)
        return task

    async def aclose(self) -> None:
        """Stop all of them."""
        await cancel_all(self._tasks)


class _Shared(Informer):
    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        label_selector: str,
        start: "Callable[[_Shared], asyncio.Task[None]]",
    ) -> None:
        super().__init__(client, resource, label_selector=label_selector)
        self._begin = start
        self._following: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        await super().run()

    async def run(self) -> None:
        """Make sure that the collection is followed; being cancelled stops only the waiting."""
        if self._following is None:
            self._following = self._begin(self)
        await asyncio.shield(self._following)

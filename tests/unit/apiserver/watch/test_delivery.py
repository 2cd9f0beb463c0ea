"""Lines reach every watcher once and in order, and handing them out leaves the loop to others."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from polling import until

from roadstead.api.resources import resource
from roadstead.apiserver.http.content import WHOLE
from roadstead.apiserver.http.parameters import ListOptions
from roadstead.apiserver.representation import Presenter
from roadstead.apiserver.store import Event, Location
from roadstead.apiserver.store.contract import numbered
from roadstead.apiserver.watch import delivery as module
from roadstead.apiserver.watch.audience import Audience, Matcher, Telling
from roadstead.apiserver.watch.delivery import Delivery
from roadstead.apiserver.watch.watcher import Watcher

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KIND = resource("ConfigMap")


def audience() -> Audience:
    options = ListOptions()
    matcher = Matcher(KIND, "", options.labels, options.fields)
    return Audience(Location("configmaps", "", ""), (), matcher, Presenter(KIND, "v1", WHOLE))


def telling(revision: int) -> Telling:
    record = numbered(Location("configmaps", "default", f"n{revision}"), revision, {"metadata": {}})
    return Telling(Event("ADDED", record, None), NOW)


def run(conversation: Callable[[Delivery], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(10):
            await conversation(Delivery())

    asyncio.run(whole())


def revisions(chunk: bytes) -> list[int]:
    return [int(line.split(b'"resourceVersion":"')[1].split(b'"')[0]) for line in chunk.splitlines()]


def test_what_happens_in_one_turn_arrives_together_and_in_order() -> None:
    async def conversation(delivery: Delivery) -> None:
        everybody, first, second = audience(), Watcher(), Watcher()
        delivery.admit(everybody, first)
        delivery.admit(everybody, second)
        for revision in (1, 2, 3):
            assert everybody.tell(telling(revision))
            delivery.announce(everybody)
        assert not delivery.done
        assert revisions(await first.fetch(5)) == [1, 2, 3]
        assert revisions(await second.fetch(5)) == [1, 2, 3]
        assert delivery.done

    run(conversation)


def test_who_comes_later_is_not_told_what_gathered_before() -> None:
    async def conversation(delivery: Delivery) -> None:
        everybody, early, late = audience(), Watcher(), Watcher()
        delivery.admit(everybody, early)
        everybody.tell(telling(1))
        delivery.announce(everybody)
        delivery.admit(everybody, late)
        everybody.tell(telling(2))
        delivery.announce(everybody)
        delivery.finish()
        assert revisions(await early.fetch(5)) == [1, 2]
        assert revisions(await late.fetch(5)) == [2]

    run(conversation)


def test_many_watchers_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLICE_SECONDS", 0.0002)

    async def conversation(delivery: Delivery) -> None:
        everybody = audience()
        watchers = [Watcher() for _ in range(20_000)]
        everybody.watchers.update(watchers)
        everybody.tell(telling(1))
        delivery.announce(everybody)
        turns = 0

        def count() -> bool:
            nonlocal turns
            turns += 1
            return delivery.done

        await until(count, every=0)
        assert turns > 5, "others had their turns in between"
        chunks = [await watcher.fetch(0) for watcher in watchers]
        assert all(revisions(chunk) == [1] for chunk in chunks)

    run(conversation)

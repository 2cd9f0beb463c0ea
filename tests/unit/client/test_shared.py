"""Shared informers: one watch for all, and nobody who leaves takes it away from the others."""

import asyncio

from roadstead.api.resources import resource
from roadstead.client.shared import SharedInformers
from roadstead.lib.tasks import cancel_all, spawn


class Followed:
    """Counts the watches that are begun; each goes on until it is cancelled."""

    def __init__(self, monkeypatch) -> None:
        self.begun: list[str] = []

        async def run(informer) -> None:
            self.begun.append(informer.resource.plural)
            await asyncio.Event().wait()

        monkeypatch.setattr("roadstead.client.informer.Informer.run", run)


def test_a_collection_is_followed_once_for_all_who_run_it(monkeypatch) -> None:
    followed = Followed(monkeypatch)

    async def scenario() -> None:
        shared = SharedInformers(None)
        first, second = shared(resource("Pod")), shared(resource("Pod"))
        assert first is second
        running = [spawn(first.run(), name="first"), spawn(second.run(), name="second")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert followed.begun == ["pods"]
        await cancel_all(running)
        await shared.aclose()

    asyncio.run(scenario())


def test_who_leaves_does_not_stop_it_for_the_others(monkeypatch) -> None:
    Followed(monkeypatch)

    async def scenario() -> None:
        shared = SharedInformers(None)
        leaving, staying = (spawn(shared(resource("Pod")).run(), name=name) for name in ("leaving", "staying"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cancel_all([leaving])
        await asyncio.sleep(0)
        assert not staying.done()
        await shared.aclose()
        await asyncio.wait([staying])
        assert staying.cancelled()

    asyncio.run(scenario())


def test_selections_are_collections_of_their_own() -> None:
    shared = SharedInformers(None)
    assert shared(resource("Pod")) is not shared(resource("Pod"), label_selector="a=b")
    assert shared(resource("Pod")) is not shared(resource("Service"))

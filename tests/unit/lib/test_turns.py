"""Long work lets others have their turns."""

import asyncio

import pytest

from roadstead.lib import turns
from roadstead.lib.tasks import spawn


def test_others_have_turns_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_SLICE_SECONDS", 0.0)
    had = []

    async def other() -> None:
        for number in range(10):
            had.append(number)
            await asyncio.sleep(0)

    async def whole() -> None:
        task = spawn(other(), name="other")
        assert await turns.in_turns(range(50)) == list(range(50))
        assert len(had) >= 9, "while the numbers were made"
        await task

    asyncio.run(whole())


def test_short_work_is_done_at_once() -> None:
    async def whole() -> None:
        assert await turns.in_turns([]) == []
        assert await turns.in_turns("ab") == ["a", "b"]

    asyncio.run(whole())

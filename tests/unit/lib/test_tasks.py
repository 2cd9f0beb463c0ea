"""Background tasks: kept until they end, their failures said, ended in order."""

import asyncio
import gc
import weakref

from structlog.testing import capture_logs

from roadstead.lib.tasks import cancel_all, spawn


def test_a_task_runs_under_its_name_and_returns():
    async def main():
        async def work():
            return asyncio.current_task().get_name()

        return await spawn(work(), name="worker")

    assert asyncio.run(main()) == "worker"


def test_a_task_that_nobody_holds_is_not_collected():
    async def main():
        done = asyncio.Event()

        async def work(gate):
            await gate
            done.set()

        gate = asyncio.get_running_loop().create_future()
        reference = weakref.ref(spawn(work(gate), name="kept"))
        await asyncio.sleep(0)
        gc.collect()
        assert reference() is not None
        gate.set_result(None)
        await asyncio.wait_for(done.wait(), 5)

    asyncio.run(main())


def test_a_failure_is_logged_with_the_tasks_name_and_no_values_of_variables(capsys):
    async def main():
        async def fail():
            password = "wonder" + "land"
            raise RuntimeError(f"broken after {len(password)}")

        task = spawn(fail(), name="failing")
        await asyncio.wait([task])
        await asyncio.sleep(0)

    asyncio.run(main())
    said = capsys.readouterr().out
    for told in ("task failed", "task=failing", "in fail", "RuntimeError: broken after 10"):
        assert told in said
    assert "wonderland" not in said


def test_being_cancelled_is_no_failure():
    async def main():
        task = spawn(asyncio.sleep(60), name="sleeper")
        await asyncio.sleep(0)
        await cancel_all([task])
        assert task.cancelled()

    with capture_logs() as logs:
        asyncio.run(main())
    assert logs == []


def test_cancelling_waits_until_every_task_has_cleaned_up():
    cleaned = []

    async def tidy(name):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(name)

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("while ending") from None

    async def main():
        tasks = [spawn(tidy("a"), name="a"), spawn(stubborn(), name="s"), spawn(tidy("b"), name="b")]
        await asyncio.sleep(0)
        await cancel_all(tasks)
        return [task.done() for task in tasks]

    with capture_logs() as logs:
        assert asyncio.run(main()) == [True, True, True]
    assert cleaned == ["a", "b"]
    assert [entry["task"] for entry in logs] == ["s"]


def test_cancelling_nothing_is_fine():
    asyncio.run(cancel_all([]))

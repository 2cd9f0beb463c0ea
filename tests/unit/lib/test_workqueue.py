import asyncio

from roadstead.lib.workqueue import WorkQueue


def test_a_key_waits_once():
    async def run():
        queue = WorkQueue()
        for key in "aba":
            queue.add(key)
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert len(queue) == 0

    asyncio.run(run())


def test_a_key_added_while_worked_on_comes_again_but_not_at_the_same_time():
    async def run():
        queue = WorkQueue()
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        assert await queue.get() == "a"
        queue.done("a")
        assert queue.idle

    asyncio.run(run())


def test_getters_wait_and_each_gets_one():
    async def run():
        queue = WorkQueue()
        getters = [asyncio.ensure_future(queue.get()) for _ in range(2)]  # noqa: TID251  the test awaits both
        await asyncio.sleep(0)
        queue.add("a")
        queue.add("b")
        assert sorted(await asyncio.gather(*getters)) == ["a", "b"]

    asyncio.run(run())


def test_a_cancelled_getter_takes_no_key_with_it():
    async def run():
        queue = WorkQueue()
        first = asyncio.ensure_future(queue.get())  # noqa: TID251  the test awaits it
        second = asyncio.ensure_future(queue.get())  # noqa: TID251  the test awaits it
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "a"

    asyncio.run(run())


def test_the_earliest_of_several_times_counts():
    async def run():
        queue = WorkQueue()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        queue.add_after("a", 30)
        queue.add_after("a", 0.02)
        queue.add_after("a", 30)
        assert await asyncio.wait_for(queue.get(), 5) == "a"
        assert loop.time() - begin >= 0.02
        queue.add_after("b", 0)
        assert len(queue) == 1
        queue.add_after("c", 30)
        queue.close()

    asyncio.run(run())

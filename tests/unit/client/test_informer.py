import asyncio

from polling import until
from scripted_server import scripted_server

from roadstead.api.resources import resource
from roadstead.client import ApiClient, Credentials, Informer
from roadstead.lib.tasks import cancel_all, spawn

POD = resource("Pod")


def pod(name, version):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "resourceVersion": version}}


def end_of_initial(version):
    metadata = {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}


def follow(handler, conversation):
    async def run():
        async with (
            scripted_server(handler) as server,
            ApiClient(server.url, Credentials(), user_agent="test") as client,
        ):
            informer = Informer(client, POD)
            task = spawn(informer.run(), name="informer")
            try:
                await conversation(informer, server)
            finally:
                await cancel_all([task])

    asyncio.run(run())


def names(informer):
    return sorted(key.name for key in informer.objects)


def test_it_streams_then_survives_a_break_and_an_expired_version():
    async def handler(seen, answer):
        step = len(server_steps)
        server_steps.append(seen.query)
        await answer.start()
        if step == 0:
            await answer.line({"type": "ADDED", "object": pod("a", "1")})
            await answer.line(end_of_initial("2"))
            await answer.line({"type": "ADDED", "object": pod("b", "3")})
            answer.break_off()
        elif step == 1:
            expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await answer.line({"type": "ERROR", "object": expired})
            await answer.end()
        else:
            await answer.line({"type": "ADDED", "object": pod("c", "9")})
            await answer.line(end_of_initial("9"))
            await asyncio.Event().wait()

    server_steps = []

    async def conversation(informer, _):
        await asyncio.wait_for(informer.wait_synced(), 5)
        await until(lambda: names(informer) == ["c"])
        assert server_steps[1]["resourceVersion"] == "3"
        assert server_steps[2]["sendInitialEvents"] == "true"

    follow(handler, conversation)


def test_it_lists_and_watches_an_older_server():
    async def handler(seen, answer):
        if "sendInitialEvents" in seen.query:
            await answer.send({"kind": "Status", "reason": "Invalid", "message": "forbidden", "code": 422}, 422)
        elif "watch" in seen.query:
            await answer.start()
            await answer.line({"type": "ADDED", "object": pod("b", "6")})
            await asyncio.Event().wait()
        else:
            await answer.send({"metadata": {"resourceVersion": "5"}, "items": [pod("a", "4")]})

    async def conversation(informer, server):
        await until(lambda: names(informer) == ["a", "b"])
        assert informer.synced
        assert server.seen[-1].query["resourceVersion"] == "5"

    follow(handler, conversation)


def test_it_waits_for_a_server_that_is_not_there_yet():
    refusals = iter(range(3))

    async def handler(_, answer):
        if next(refusals, None) is not None:
            answer.break_off()
            return
        await answer.start()
        await answer.line(end_of_initial("1"))
        await asyncio.Event().wait()

    async def conversation(informer, server):
        await asyncio.wait_for(informer.wait_synced(), 5)
        assert len(server.seen) == 4

    follow(handler, conversation)


def test_a_kind_that_the_server_does_not_have_is_known_to_be_empty_until_it_comes():
    async def handler(seen, answer):
        asked.append(seen.path)
        if len(asked) < 8:
            await answer.send({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}, 404)
            return
        await answer.start()
        await answer.line({"type": "ADDED", "object": pod("a", "1")})
        await answer.line(end_of_initial("2"))
        await asyncio.Event().wait()

    async def conversation(informer, server):
        await informer.wait_known()
        assert not informer.synced
        assert len(asked) >= 6
        assert names(informer) == []
        await informer.wait_synced()
        assert names(informer) == ["a"]

    asked = []
    follow(handler, conversation)

"""The runner against a server whose watches bring what was there at the start and then stay silent."""

import asyncio

from fake_cluster import named
from polling import until
from scripted_server import scripted_server

from roadstead.api.objects import ObjectKey
from roadstead.client import ApiClient, Credentials
from roadstead.controllers.actions import Bind, Create, Delete, Event, Patch, Requeue
from roadstead.controllers.controller import Controller, itself
from roadstead.controllers.runner import Runner
from roadstead.lib.tasks import cancel_all, spawn

KEY = ObjectKey("default", "one")


def configmap(name="one", version="1", **data):
    return named("ConfigMap", name, metadata={"uid": f"uid-{name}", "resourceVersion": version}, data=data)


class Server:
    """Answers writes with what a test wants, in order; afterwards with the object that was sent."""

    def __init__(self, *objects):
        self.objects = objects
        self.answers = []
        self.writes = []

    async def __call__(self, seen, answer):
        if seen.method == "GET":
            await self._watch(seen, answer)
            return
        self.writes.append((seen.method, seen.path))
        if "/events" in seen.path:
            await answer.send({})
        elif self.answers:
            await answer.send(*self.answers.pop(0))
        else:
            await answer.send(seen.json())

    async def _watch(self, seen, answer):
        await answer.start()
        plural = seen.path.rsplit("/", 1)[1]
        for obj in self.objects:
            if obj["kind"].lower() + "s" == plural:
                await answer.line({"type": "ADDED", "object": obj})
        metadata = {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}
        await answer.line({"type": "BOOKMARK", "object": {"metadata": metadata}})
        await asyncio.Event().wait()

    def written(self, part=""):
        return [write for write in self.writes if "/events" not in write[1] and part in write[1]]


def status(reason, code, message="no"):
    return {"kind": "Status", "reason": reason, "code": code, "message": message}, code


def run(server, decide, conversation, *, look=None, kinds=("ConfigMap",)):
    controller = Controller("tester", dict.fromkeys(kinds, itself), decide, look=look)

    async def play():
        async with (
            scripted_server(server) as scripted,
            ApiClient(scripted.url, Credentials(), user_agent="test") as client,
        ):
            task = spawn(Runner(client, [controller]).run(), name="controllers")
            try:
                await conversation()
            finally:
                await cancel_all([task])

    asyncio.run(play())


def test_actions_are_carried_out_in_order():
    server = Server(configmap())
    secret, pod = named("Secret", "s"), named("Pod", "p", metadata={"uid": "u"})
    done = []

    def decide(situation):
        if done:
            return []
        done.append(situation.key)
        return [
            Create(secret, announce=Event(pod, "Normal", "Made", "made {name}")),
            Patch(configmap(), {"data": {"a": "b"}}),
            Bind(pod, "node"),
            Delete(pod),
        ]

    async def conversation():
        await until(lambda: len(server.written()) == 4)
        await until(lambda: ("POST", "/api/v1/namespaces/default/events") in server.writes)
        assert server.written() == [
            ("POST", "/api/v1/namespaces/default/secrets"),
            ("PATCH", "/api/v1/namespaces/default/configmaps/one"),
            ("POST", "/api/v1/namespaces/default/pods/p/binding"),
            ("DELETE", "/api/v1/namespaces/default/pods/p"),
        ]

    run(server, decide, conversation)


def test_own_writes_are_seen_before_the_watch_brings_them():
    server = Server(configmap())
    seen = []

    def decide(situation):
        found = situation.view.get("ConfigMap", KEY)
        seen.append(found and found["data"])
        if found is None:
            return []
        return [Delete(found)] if found["data"] else [Patch(found, {"data": {"a": "b"}})]

    async def conversation():
        server.answers = [(configmap(version="6", a="b"),), (status("", 200)[0],)]
        await until(lambda: seen == [{}, {"a": "b"}, None])

    run(server, decide, conversation)


def test_a_conflict_is_planned_again_without_being_a_failure():
    server = Server(configmap())
    failures = []

    def decide(situation):
        failures.append(situation.failure)
        return [Patch(configmap(), {"data": {}})] if len(failures) < 3 else []

    async def conversation():
        server.answers = [status("Conflict", 409), status("NotFound", 404)]
        await until(lambda: len(failures) == 3)
        assert failures == ["", "", ""]

    run(server, decide, conversation)


def test_a_refusal_is_told_to_the_next_plan_until_it_is_over():
    server = Server(configmap())
    failures = []

    def decide(situation):
        failures.append(situation.failure)
        return [Create(named("Secret", "s")), Requeue(0.001)] if len(failures) < 4 else []

    async def conversation():
        server.answers = [status("Forbidden", 403, "quota"), status("Forbidden", 403, "x is being terminated")]
        await until(lambda: len(failures) == 4)
        assert failures == ["", "quota", "quota", ""]

    run(server, decide, conversation)


def test_what_is_decided_beside_a_refusal_is_still_carried_out():
    server = Server(configmap())
    plans = []

    def decide(situation):
        plans.append(situation.key)
        return [Create(named("Secret", "s")), Patch(configmap(), {"data": {"a": "b"}})] if len(plans) == 1 else []

    async def conversation():
        server.answers = [status("Forbidden", 403)]
        await until(lambda: server.written("configmaps"))

    run(server, decide, conversation)


def test_one_plan_that_raises_does_not_stop_the_others():
    server = Server(configmap("bad"), configmap("good"))
    counts = {"bad": 0, "good": 0}

    def decide(situation):
        counts[situation.key.name] += 1
        if situation.key.name == "bad":
            raise ZeroDivisionError
        return []

    async def conversation():
        await until(lambda: counts["bad"] > 2 and counts["good"] == 1)

    run(server, decide, conversation)


def test_a_server_that_fails_while_a_controller_looks_is_asked_again():
    server = Server(configmap())
    looks, lives = [], []

    async def look(client, view, key):
        looks.append(key)
        if len(looks) == 1:
            raise ConnectionError("not an ApiError at all")
        return "found"

    def decide(situation):
        lives.append(situation.live)
        return []

    async def conversation():
        await until(lambda: lives == ["found"])

    run(server, decide, conversation, look=look)


def test_many_creations_stop_at_the_first_batch_that_is_refused():
    server = Server(configmap())
    plans = []

    def decide(situation):
        plans.append(situation.failure)
        return [Create(named("Secret", f"s{number}")) for number in range(100)] if len(plans) == 1 else []

    async def conversation():
        server.answers = [status("Forbidden", 403, "quota")]
        await until(lambda: len(plans) == 2)
        assert plans[1] == "quota"
        assert len(server.written("secrets")) == 16

    run(server, decide, conversation)

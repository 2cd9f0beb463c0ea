"""Our API server answers as Kubernetes' own, whose answers are on record (kube-apiserver 1.37.1)."""

import asyncio

import pytest
import yaml
from apiserver_bed import bench
from kubernetes_conversations import Conversation, answers_path, conversations, differences, names, play

HELD = [(name, one) for name in names() for one in conversations(name)]
RECORD = {
    (name, one["about"]): one["answers"]
    for name in names()
    for one in yaml.load(answers_path(name).read_text(), yaml.CSafeLoader)
}


async def held(conversation: Conversation) -> list[dict]:
    async with bench() as server:

        async def send(method, path, body, headers):
            reply = await server.exchange(method, path, body, headers)
            return reply.code, {name.lower(): value for name, value in reply.headers.items()}, reply.body

        return await play(conversation, send)


@pytest.mark.parametrize(("name", "conversation"), HELD, ids=[f"{name}-{one.about}" for name, one in HELD])
def test_answers_are_those_of_kubernetes(name, conversation):
    ours = asyncio.run(held(conversation))
    problems = []
    for number, (request, left, right) in enumerate(
        zip(conversation.requests, RECORD[name, conversation.about], ours, strict=True)
    ):
        where = f"request {number}, {request.method} {request.path}"
        found = dict(differences(left, right))
        known = {path for path in found if any(_is_below(path, differing) for differing in request.differs)}
        problems += [f"{where}: {path}: {what}" for path, what in found.items() if path not in known]
        problems += [
            f"{where}: {path} does not differ any more"
            for path in request.differs
            if not any(_is_below(one, path) for one in known)
        ]
    assert not problems, "\n" + "\n".join(problems)


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))

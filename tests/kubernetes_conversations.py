"""Conversations with an API server, and what Kubernetes' own said: `testdata/kubernetes/NAME.{requests,answers}.yaml`.

    - about: a Deployment that two managers apply
      requests:
      - {POST: /apis/apps/v1/namespaces/default/deployments, body: {...}}
      - {PATCH: ".../web?fieldManager=two", as: apply, body: {...}, differs: {body.message: "ours names the operation"}}

`as` is the kind of a patch, or a content type; `accept`, `token` and `headers` are what they say; `body` may be
`answer 0`, the body of an earlier answer. `differs` names what our answer has otherwise, and why: a path of the answer,
which then is compared no more, but must differ. `scripts/record_answers` asks a server of Kubernetes and writes down
what it says.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "contracts/testdata/kubernetes"
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_TYPES = {
    "apply": "application/apply-patch+yaml",
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

Reply = tuple[int, Mapping[str, str], bytes]
"""A status code, headers by their names in lower case, and a body."""
Send = Callable[[str, str, bytes, Mapping[str, str]], Awaitable[Reply]]
"""Sends a request: method, path with query, body, headers."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, entry: dict[str, Any]) -> "Request":
        method = next(verb for verb in _VERBS if verb in entry)
        kind = entry.get("as", "application/json")
        headers = {"accept": "application/json", "user-agent": "test/1.0", "content-type": _TYPES.get(kind, kind)}
        if accept := entry.get("accept"):
            headers["accept"] = TABLE if accept == "table" else accept
        if token := entry.get("token", "admin-token"):
            headers["authorization"] = f"Bearer {token}"
        headers |= entry.get("headers", {})
        return cls(method, entry[method], entry.get("body"), headers, entry.get("differs", {}))

    def content(self, answers: list[Any]) -> bytes:
        body = self.body
        if isinstance(body, str):
            found = re.fullmatch(r"answer (\d+)", body)
            if found is None:
                return body.encode()
            body = answers[int(found[1])]
        return b"" if body is None else json.dumps(body).encode()


@dataclass(frozen=True)
class Conversation:
    about: str
    requests: tuple[Request, ...]


def conversations(name: str) -> list[Conversation]:
    """Return the conversations of `NAME.requests.yaml`."""
    found = yaml.load((DATA / f"{name}.requests.yaml").read_text(), yaml.CSafeLoader)
    return [Conversation(one["about"], tuple(map(Request.read, one["requests"]))) for one in found]


def names() -> list[str]:
    return sorted(path.name.removesuffix(".requests.yaml") for path in DATA.glob("*.requests.yaml"))


def answers_path(name: str) -> Path:
    return DATA / f"{name}.answers.yaml"


async def play(conversation: Conversation, send: Send) -> list[dict[str, Any]]:
    """Hold a conversation and return the answers, without what differs from run to run."""
    bodies: list[Any] = []
    answers = []
    for request in conversation.requests:
        code, headers, raw = await send(request.method, request.path, request.content(bodies), request.headers)
        bodies.append(_read(raw))
        answer: dict[str, Any] = {"code": code}
        if warning := headers.get("warning"):
            answer["warning"] = warning
        answers.append({**answer, "body": plain(bodies[-1])})
    return answers


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        lines = raw.decode(errors="replace").splitlines()
        if lines and all(line.startswith("{") for line in lines):
            return [json.loads(line) for line in lines]
        return "\n".join(lines)


_WRITTEN = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"10\.96\.\d+\.\d+"), "ADDRESS"),
)
_NUMBERED = {"nodePort": "PORT", "healthCheckNodePort": "PORT"}


def plain(value: Any, key: str = "") -> Any:
    """Return a body without what differs from run to run; descriptions of columns are ours or nobody's."""
    if isinstance(value, dict):
        return {name: plain(entry, name) for name, entry in value.items() if name != "description"}
    if isinstance(value, list):
        return [plain(entry, key if key == "cells" else "") for entry in value]
    if key in _NUMBERED and isinstance(value, int):
        return _NUMBERED[key]
    if not isinstance(value, str):
        return value
    if key == "resourceVersion" and value.isdigit() and value != "0":
        return "VERSION"
    for pattern, word in _WRITTEN:
        value = pattern.sub(word, value)
    if key == "cells":
        value = re.sub(r"^\d+[smh]$", "AGE", re.sub(r":3\d{4}/", ":PORT/", value))
    return value


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the paths at which answers differ, and how."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys((*theirs, *ours)):
            below = f"{path}.{name}" if path else name
            if name in theirs and name in ours:
                yield from differences(theirs[name], ours[name], below)
            else:
                yield below, f"only {'theirs' if name in theirs else 'ours'}: {theirs.get(name, ours.get(name))!r}"
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for position, (left, right) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(left, right, f"{path}[{position}]")
    elif theirs != ours or type(theirs) is not type(ours):
        yield path, f"theirs {theirs!r}, ours {ours!r}"

"""What holds for every stage, alone in the chain: all kinds of RPC × servers × ways in which a call can end.

Servers are plain ones of grpcio's with a chain as interceptor, and those of this library.

One server for each stage and sort serves all its cases, so a stage that keeps something (a place, a state) is found out
by the next call.
"""

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import pytest
from echo_service import AT_GATE, GATE, KINDS, OWN_SERVERS, SERVERS, Client, Ended, Recorder, serving
from opentelemetry.sdk.trace import TracerProvider
from polling import wait_until
from prometheus_client import CollectorRegistry

from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.identity import Identity
from roadstead.service.interceptors import (
    AccessLog,
    Authentication,
    Authorization,
    Concurrency,
    Deadline,
    Errors,
    Expiry,
    Rate,
    ReplyMetadata,
    Stage,
)
from roadstead.service.interceptors.audit import Audit
from roadstead.service.interceptors.metrics import Metrics
from roadstead.service.interceptors.tracing import Tracing
from roadstead.service.interceptors.validation import Validation
from roadstead.service.passwords import hash_password, parse_password_file
from roadstead.service.policy import parse_policy

STREAMS = ("unary_stream", "stream_unary", "stream_stream")
_fresh = (f"caller-{number}" for number in itertools.count())


class Believing(Stage):
    """Stands in for authentication: takes the caller's word for its name and for when its proof expires."""

    def admit(self, call) -> None:
        told = dict(call.metadata)
        if "x-as" in told:
            call.identity = Identity(name=told["x-as"], proof="token", expires=float(told.get("x-expires", 0)) or None)


@dataclass
class Case:
    """A stage, and how to have a call accepted and refused by it. `refused` returns how such a call ended."""

    stages: Callable[[], list[Stage]]
    accepted: Callable[[], dict] = dict
    refused: Callable[[Client, str], Ended] | None = None
    code: str = ""
    kinds: tuple[str, ...] = field(default=KINDS)


def named(**more) -> dict:
    return {"metadata": (("x-as", next(_fresh)), *((f"x-{key}", value) for key, value in more.items()))}


def refused_for(metadata) -> Callable[[Client, str], Ended]:
    return lambda client, kind: client.call(kind, b"hello", metadata=metadata)


def passwords() -> PasswordVerifier:
    file = parse_password_file(f"alice:{hash_password('wonderland')}".encode())
    return PasswordVerifier(lambda: file)


def too_many_at_once(client: Client, kind: str) -> Ended:
    GATE.clear()
    AT_GATE.clear()
    caller = named()
    first = client.open(kind, b"gate", **caller)
    assert AT_GATE.wait(10), "the first call has the only place"
    ended = client.call(kind, b"hello", **caller)
    GATE.set()
    assert finished(first, kind) == "OK"
    return ended


def too_often(client: Client, kind: str) -> Ended:
    caller = named()
    for _ in range(3):
        assert client.call(kind, b"hello", **caller).code == "OK"
    return client.call(kind, b"hello", **caller)


def too_long(client: Client, kind: str) -> Ended:
    return client.call(kind, b"sleep", timeout=20)


RIGHT = (("username", "alice"), ("password", "wonderland"))
POLICY = parse_policy("{roles: {all: [test.Echo/*]}, groups: {}, identities: {alice: [all]}}")

CASES = {
    "AccessLog": Case(lambda: [AccessLog()]),
    "Audit": Case(lambda: [Audit(CollectorRegistry())]),
    "Metrics": Case(lambda: [Metrics(CollectorRegistry())]),
    "Tracing": Case(lambda: [Tracing(TracerProvider())]),
    "ReplyMetadata": Case(lambda: [ReplyMetadata({"x-pod": "foo"})]),
    # Its refusals need messages with rules: unit/service/interceptors/test_validation.py.
    "Validation": Case(lambda: [Validation()]),
    "Errors": Case(lambda: [Errors()], refused=lambda client, kind: client.call(kind, b"refuse"), code="NOT_FOUND"),
    "Authentication": Case(
        lambda: [Authentication(passwords())],
        accepted=lambda: {"metadata": RIGHT},
        refused=refused_for((("username", "mallory"), ("password", "x"))),
        code="UNAUTHENTICATED",
    ),
    "Authorization": Case(
        lambda: [Believing(), Authorization(lambda: POLICY)],
        accepted=lambda: {"metadata": (("x-as", "alice"),)},
        refused=refused_for((("x-as", "bob"),)),
        code="PERMISSION_DENIED",
    ),
    "Concurrency": Case(
        lambda: [Believing(), Concurrency(1)],
        accepted=lambda: {"metadata": (("x-as", "always the same"),)},
        refused=too_many_at_once,
        code="RESOURCE_EXHAUSTED",
    ),
    "Rate": Case(
        lambda: [Believing(), Rate(0.001, burst=3)], accepted=named, refused=too_often, code="RESOURCE_EXHAUSTED"
    ),
    "Deadline": Case(lambda: [Deadline(cap=0.3)], refused=too_long, code="DEADLINE_EXCEEDED"),
    "Expiry": Case(
        lambda: [Believing(), Expiry()],
        accepted=lambda: named(expires=str(time.time() + 3600)),
        refused=refused_for((("x-as", "alice"), ("x-expires", "1"))),
        code="UNAUTHENTICATED",
        kinds=STREAMS,
    ),
}
REFUSING = [(name, kind) for name, case in CASES.items() if case.refused for kind in case.kinds]


class Bed:
    """A server with one stage under test, behind an observer."""

    def __init__(self, case: Case, client: Client, seen: Recorder) -> None:
        self.case, self.client, self.seen = case, client, seen

    def call(self, kind: str, word: bytes, **options) -> Ended:
        return self.client.call(kind, word, **{**self.case.accepted(), **options})

    def observed(self, count: int, before: int) -> list[str]:
        """Return the codes of the RPCs since `before`: exactly `count` of them."""
        codes = [code for _, code in self.seen.wait(before + count)][before:]
        assert len(codes) == count
        return codes


@pytest.fixture(scope="module", params=[*SERVERS, *OWN_SERVERS])
def beds(request):
    """Make a bed for a stage when it is first asked for; one for each sort of server."""
    opened: dict[str, tuple] = {}

    def bed(name: str) -> Bed:
        if name not in opened:
            seen, case = Recorder(), CASES[name]
            serves = serving(request.param, seen, *case.stages())
            opened[name] = serves, Bed(case, serves.__enter__(), seen)
        return opened[name][1]

    bed.sort = request.param
    yield bed
    GATE.set()
    for serves, _ in opened.values():
        serves.__exit__(None, None, None)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def finished(call, kind: str) -> str:
    """Return the code of a call that was opened, when it has ended."""
    with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
        call.result() if kind.endswith("unary") else list(call)
    return call.code().name


@pytest.mark.parametrize("name", CASES)
def test_success(beds, name, kind):
    bed = beds(name)
    before = len(bed.seen.seen)
    ended = bed.call(kind, b"hello")
    assert (ended.code, set(ended.replies)) == ("OK", {b"re:hello"})
    assert bed.observed(1, before) == ["OK"]


@pytest.mark.parametrize(("name", "kind"), REFUSING)
def test_refusal(beds, name, kind):
    bed = beds(name)
    ended = bed.case.refused(bed.client, kind)
    assert ended.code == bed.case.code
    assert ended.replies == []
    assert bed.call(kind, b"hello").code == "OK", "the next one is none the worse for it"


@pytest.mark.parametrize("name", CASES)
def test_exception(beds, name, kind):
    bed = beds(name)
    before = len(bed.seen.seen)
    ended = bed.call(kind, b"boom")
    assert ended.code == "INTERNAL"
    assert "secret" not in ended.details + str(ended.trailing)
    assert bed.observed(1, before) == ["INTERNAL"]
    assert bed.call(kind, b"hello").code == "OK"


@pytest.mark.parametrize("name", CASES)
def test_cancel(beds, name, kind):
    bed = beds(name)
    before = len(bed.seen.seen)
    GATE.clear()
    call = bed.client.open(kind, b"gate", **bed.case.accepted())
    call.cancel()
    assert finished(call, kind) == "CANCELLED"
    GATE.set()
    # The server may never have heard of it. If it did, it noted one end, and holds nothing.
    wait_until(lambda: bed.call(kind, b"hello").code == "OK")
    # Of this method: the end of a call that an earlier test cancelled may be noted only now.
    seen = [code for method, code in bed.seen.seen[before:] if method.endswith(f"/{kind}")]
    ends = [code for code in seen if code not in ("OK", "RESOURCE_EXHAUSTED")]
    assert ends in ([], ["CANCELLED"], ["DEADLINE_EXCEEDED"])


@pytest.mark.parametrize("name", CASES)
def test_deadline(beds, name, kind):
    bed = beds(name)
    GATE.clear()
    ended = bed.call(kind, b"gate", timeout=0.03)
    GATE.set()
    assert (ended.code, ended.replies) == ("DEADLINE_EXCEEDED", [])
    wait_until(lambda: bed.call(kind, b"hello").code == "OK")

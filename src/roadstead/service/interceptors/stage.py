"""One concern of every RPC: the moments at which it may have a say.

    the server starts   begin    may look at what there is to call
    headers arrive      admit    may refuse; may need time (a Future)
    all have admitted   enter    may refuse; takes what has to be given back
    the handler fails   convert  may say what the caller is told
    after the handler   leave    gives back what `enter` took
    the RPC has ended   observe  once for every RPC, refused or handled

The first two come before a byte of the request is read.

A stage overrides what it needs; a chain looks once per method which it did, so the others cost nothing. `admit` must
take nothing that has to be given back: a caller may go away before its handler ever runs.
"""

import math
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import grpc
import msgspec

from roadstead.service.decision import Decision
from roadstead.service.identity import Identity, bearer
from roadstead.service.refusal import Refusal
from roadstead.service.sendable import MetadataPairs

Metadata = Sequence[tuple[str, str | bytes]]
Admission = Refusal | None
TIME_IS_OVER = Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the server's time limit is over")


class Call(msgspec.Struct, eq=False):
    """One RPC on its way. `method` is `package.Service/Method`; `context` is grpc's.

    A Struct, since one is made for every RPC: that takes half the time of a class with as many attributes.
    """

    method: str
    metadata: Metadata
    started: float
    # True if the client or the server sends a stream.
    streams: bool = False
    # "unary", "client_stream", "server_stream" or "bidi_stream"; "" for a method that is not here.
    kind: str = ""
    identity: Identity | None = None
    # From where an open method is called: behind a gateway that is trusted, the address that it names.
    client: str = ""
    # Who may do it, as far as that has been judged.
    decision: Decision | None = None
    context: Any = None
    # grpc's name of the peer; kept here, since the context cannot be asked once the RPC has ended.
    peer: str = ""
    # Judges each message of the request before the handler gets it, if a stage asked for it by `judge_by`.
    judge_request: "Callable[[Call, Any], Admission] | None" = None
    # Seconds that the handler may take, if a stage set them shorter than the client did; and what is said then.
    time_limit: float | None = None
    limit_refusal: Refusal = TIME_IS_OVER
    # When that time is over, on the clock of `time.monotonic()`.
    ends_at: float = math.inf
    # The answer that the headers' judgement waits for, and the number of the stage to ask next.
    pending: tuple[Future[Admission], int] | None = None
    # Sent before the reply, also before a refusal.
    reply_metadata: MetadataPairs = ()
    # True if the call was cancelled from here: by its handler, in a thread, or while that thread waited for the caller.
    is_cut_off: bool = False
    # True if its handler, in a thread, has ended it by `context.abort`.
    is_aborted: bool = False
    # What a thread still does for an RPC that has ended.
    lingering: Future[Any] | None = None
    # The span of this RPC if it is traced (OpenTelemetry's `Span`).
    span: Any = None
    # Why the RPC was allowed or refused, for the log.
    reason: str = ""

    def __repr__(self) -> str:
        """Tell the method alone: there are passwords in the metadata, and calls end up in logs."""
        return f"Call({self.method!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Likewise where tracebacks are printed by rich, which asks a Struct for all of its fields otherwise."""
        return [("method", self.method)]

    def limit(self, seconds: float, refusal: Refusal = TIME_IS_OVER) -> None:
        """End the handler after so many seconds from now with a refusal, unless something ends it sooner."""
        if self.time_limit is None or seconds < self.time_limit:
            self.time_limit, self.limit_refusal = seconds, refusal
            self.ends_at = time.monotonic() + seconds

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Have a shorter limit for a while."""
        before = self.time_limit, self.limit_refusal, self.ends_at
        self.limit(seconds)
        try:
            yield
        finally:
            self.time_limit, self.limit_refusal, self.ends_at = before

    def trace_ids(self) -> dict[str, str]:
        """Return the ids under which this RPC is traced, for a log; nothing if it is not."""
        if self.span is None or not (context := self.span.get_span_context()).is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def judge_by(self, judge: "Callable[[Call, Any], Admission]") -> None:
        """Have each message of the request judged before the handler gets it, after those who asked for it before."""
        earlier = self.judge_request
        self.judge_request = judge if earlier is None else _both(earlier, judge)


# The RPC that is being handled; `current_call.py` has what handlers may see of it.
current = cast("ContextVar[Call]", bearer)


def _both(
    earlier: Callable[[Call, Any], Admission], later: Callable[[Call, Any], Admission]
) -> Callable[[Call, Any], Admission]:
    return lambda call, message: earlier(call, message) or later(call, message)


class Outcome(msgspec.Struct, frozen=True):
    """How an RPC ended: its status and how long it took, in seconds."""

    code: grpc.StatusCode
    seconds: float


class Stage:
    """A concern with nothing to say yet: override the moments that matter."""

    def begin(self, services: Mapping[str, Container[str]]) -> None:
        """Learn which services the server has, with the names of their methods; `Server` tells before it serves."""

    def admit(self, call: Call) -> "Admission | Future[Admission]":
        """Judge the headers. Returns None to go on, a refusal, or a future of one of them; never blocks."""
        return None

    def enter(self, call: Call) -> Admission:
        """Judge once more just before the request is read and the handler runs."""
        return None

    def convert(self, call: Call, error: Exception) -> Admission:
        """Say what the caller is told about an exception of the handler; None leaves it to the next stage."""
        return None

    def leave(self, call: Call) -> None:
        """Give back what `enter` took; follows every `enter` that did not refuse."""

    def observe(self, call: Call, outcome: Outcome) -> None:
        """Learn how an RPC ended."""


def overriding(stages: Iterable[Stage], moment: str) -> tuple[Callable[..., Any], ...]:
    """Return the bound methods of the stages that have something to say at this moment."""
    return tuple(
        getattr(stage, moment) for stage in stages if getattr(type(stage), moment) is not getattr(Stage, moment)
    )

"""Whatever a handler does, its caller has one answer, the log one event, and grpc nothing to complain of."""

import asyncio
import logging
import threading

import grpc
import grpc.aio
import pytest
from echo_service import SERVERS, serving_handlers
from structlog.testing import capture_logs

from roadstead.service import RpcError
from roadstead.service.interceptors import Errors, Stage

NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "nothing")
# Of a file's name that is no UTF-8, as Python has it.
HALF = "report-\udcfc.txt"


class Own(BaseException):
    """What no handler should raise."""


async def twice(context):
    """End the call, go on, and end it once more."""
    try:
        await context.abort(*NOT_FOUND)
    except grpc.aio.AbortError:
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "something")


async def then_raise(context):
    try:
        await context.abort(*NOT_FOUND)
    except Exception as error:
        raise ValueError("secret of a handler") from error


async def and_go_on(context):
    try:
        await context.abort(*NOT_FOUND)
    except grpc.aio.AbortError:
        return b"never seen"


async def another_abort_error(context):
    try:
        await context.abort(*NOT_FOUND)
    except grpc.aio.AbortError:
        raise grpc.aio.AbortError("secret of a handler") from None


async def abort_with_half_a_character(context):
    await context.abort(grpc.StatusCode.NOT_FOUND, HALF)


async def abort_with_number(context):
    await context.abort(5, "nothing")


async def abort_with_wrong_metadata(context):
    await context.abort(grpc.StatusCode.NOT_FOUND, "secret of a handler", (("Bad Key", 5),))


async def abort_with_ok(context):
    await context.abort(grpc.StatusCode.OK, "secret of a handler")


async def wrong_initial_metadata(context):
    await context.send_initial_metadata((("Bad Key", "secret of a handler"),))


async def cancels_itself(context):
    asyncio.current_task().cancel()
    await asyncio.sleep(20)


def raising(error):
    """A handler that raises it, on each sort of server."""

    def act(context):
        raise error

    async def act_async(context):
        raise error

    act.__name__ = act_async.__name__ = f"raises {error!r}"
    return act_async, act


def saying(name, *arguments):
    """A handler that says something of its status, on each sort of server."""

    def act(context):
        getattr(context, name)(*arguments)
        if context.code() is None and name != "set_trailing_metadata":
            context.set_code(grpc.StatusCode.NOT_FOUND)
        return b"never seen"

    async def act_async(context):
        return act(context)

    act.__name__ = act_async.__name__ = f"{name} {arguments!r}"
    return act_async, act


def twice_plain(context):
    try:
        context.abort(*NOT_FOUND)
    except Exception:  # noqa: BLE001  it is what grpc raises
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "something")


def then_raise_plain(context):
    try:
        context.abort(*NOT_FOUND)
    except Exception as error:
        raise ValueError("secret of a handler") from error


def and_go_on_plain(context):
    try:
        context.abort(*NOT_FOUND)
    except Exception:  # noqa: BLE001  it is what grpc raises
        return b"never seen"


def abort_with_half_a_character_plain(context):
    context.abort(grpc.StatusCode.NOT_FOUND, HALF)


def abort_with_number_plain(context):
    context.abort(5, "nothing")


def abort_with_no_code_plain(context):
    context.abort("no code", "secret of a handler")


def abort_with_ok_plain(context):
    context.abort(grpc.StatusCode.OK, "secret of a handler")


def wrong_initial_metadata_plain(context):
    context.send_initial_metadata((("Bad Key", "secret of a handler"),))


def code_and_bare_exception_plain(context):
    """As `abort` does it in threads, but it is not `abort`."""
    context.set_code(grpc.StatusCode.NOT_FOUND)
    raise Exception


def cancels_plain(context):
    context.cancel()
    return b"never seen"


# What every sort of server makes of a handler that raises something, or says it.
RAISED = {
    ValueError("secret of a handler"): "INTERNAL",
    grpc.RpcError("secret of a handler"): "INTERNAL",  # of a call of the handler's own
    TimeoutError("secret of a handler"): "INTERNAL",
    RpcError(grpc.StatusCode.NOT_FOUND, HALF): "NOT_FOUND",
    Own("secret of a handler"): "INTERNAL",
    GeneratorExit("secret of a handler"): "INTERNAL",
    asyncio.CancelledError("secret of a handler"): "INTERNAL",
    StopIteration("secret of a handler"): "INTERNAL",
}
SAID = {
    ("set_code", 5): "NOT_FOUND",
    ("set_code", 99): "INTERNAL",
    ("set_code", "secret"): "INTERNAL",
    ("set_details", HALF): "NOT_FOUND",
    ("set_details", None): "NOT_FOUND",
    ("set_details", 5): "INTERNAL",
    ("set_trailing_metadata", (("Bad Key", "secret"),)): "INTERNAL",
    ("set_trailing_metadata", (("key", "secret\n"),)): "INTERNAL",
    ("set_trailing_metadata", (("key", "ü"),)): "INTERNAL",
    ("set_trailing_metadata", (("key", 5),)): "INTERNAL",
    ("set_trailing_metadata", "secret"): "INTERNAL",
}
BOTH = [(*raising(error), code) for error, code in RAISED.items()]
BOTH += [(*saying(*said), code) for said, code in SAID.items()]
ASYNC = {
    twice: "NOT_FOUND",
    then_raise: "NOT_FOUND",
    and_go_on: "NOT_FOUND",
    another_abort_error: "NOT_FOUND",
    abort_with_half_a_character: "NOT_FOUND",
    abort_with_number: "NOT_FOUND",
    abort_with_wrong_metadata: "INTERNAL",
    abort_with_ok: "INTERNAL",
    wrong_initial_metadata: "INTERNAL",
    cancels_itself: "CANCELLED",
    raising(grpc.aio.InternalError("secret of a handler"))[0]: "INTERNAL",  # of a call of the handler's own
    raising(grpc.aio.AbortError("secret of a handler"))[0]: "INTERNAL",
    raising(grpc.aio.UsageError("secret of a handler"))[0]: "INTERNAL",
    **{act: code for act, _, code in BOTH},
}
PLAIN = {
    twice_plain: "ALREADY_EXISTS",
    then_raise_plain: "NOT_FOUND",
    and_go_on_plain: "NOT_FOUND",
    abort_with_half_a_character_plain: "NOT_FOUND",
    abort_with_number_plain: "NOT_FOUND",
    abort_with_no_code_plain: "INTERNAL",
    abort_with_ok_plain: "INTERNAL",
    wrong_initial_metadata_plain: "INTERNAL",
    code_and_bare_exception_plain: "INTERNAL",
    cancels_plain: "CANCELLED",
    **{act: code for _, act, code in BOTH},
}
CASES = [
    *(("async", act, code) for act, code in ASYNC.items()),
    *((sort, act, code) for sort in ("sync-on-async", "threads") for act, code in PLAIN.items()),
]


def handler_of(kind: str, sort: str, act):
    """A handler that does one odd thing, once it has its request."""
    if sort == "async":

        async def single(request, context):
            if kind.startswith("stream"):
                assert [each async for each in request]
            return await act(context)

        async def stream(request, context):
            yield await single(request, context)

    else:

        def single(request, context):
            if kind.startswith("stream"):
                assert list(request)
            return act(context)

        def stream(request, context):
            yield single(request, context)

    return getattr(grpc, f"{kind}_rpc_method_handler")(stream if kind.endswith("stream") else single)


def called(kind: str, sort: str, act, *stages: Stage) -> tuple[str, str]:
    """Call a handler that does something odd, and return the status that its caller is told."""
    with serving_handlers(sort, {kind: handler_of(kind, sort, act)}, *stages, Errors()) as client:
        ended = client.call(kind, b"x", timeout=20)
    return ended.code, ended.details


@pytest.mark.parametrize(("sort", "act", "code"), CASES, ids=lambda each: getattr(each, "__name__", each))
def test_one_answer_and_one_event(kind, sort, act, code, recorder, caplog):
    with capture_logs(), caplog.at_level(logging.WARNING):
        answer, details = called(kind, sort, act, recorder)
        seen = recorder.wait(1)
    assert answer == code
    assert "secret" not in details
    assert seen == [(f"test.Echo/{kind}", code)]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("grpc")] == []


def test_who_cancels_himself_and_answers_all_the_same(kind, recorder):
    """A single answer goes with its status. Another one would be written first, and that is cancelled."""

    async def act(context):
        asyncio.current_task().cancel()
        return b"there it is"

    code, _ = called(kind, "async", act, recorder)
    assert code == ("OK" if kind == "unary_unary" else "CANCELLED")
    assert recorder.wait(1) == [(f"test.Echo/{kind}", code)]


@pytest.mark.parametrize("sort", SERVERS)
def test_what_cannot_be_sent_is_told_to_the_log(kind, sort):
    act_async, act = saying("set_trailing_metadata", (("Bad Key", "secret"),))
    with capture_logs() as logs:
        called(kind, sort, act_async if sort == "async" else act)
    (entry,) = [entry for entry in logs if entry["event"] == "handler failed"]
    assert "ValueError: metadata 'Bad Key': a name consists of" in entry["exception"]


@pytest.mark.parametrize("sort", ["sync-on-async", "threads"])
def test_a_callback_that_fails_changes_nothing(kind, sort):
    heard = []

    def act(context):
        context.add_callback(lambda: 1 / 0)
        context.add_callback(lambda: heard.append(kind))
        context.abort(*NOT_FOUND)

    with capture_logs():
        assert called(kind, sort, act) == ("NOT_FOUND", "nothing")
    assert heard == [kind]


class Left(threading.Event, Stage):
    """Tells when what the call had taken was given back."""

    def leave(self, call):
        self.set()


@pytest.mark.parametrize("moment", ["writing", "at work"])
@pytest.mark.parametrize("sort", SERVERS)
def test_what_a_call_has_taken_is_given_back_when_its_generator_has_cleaned_up(sort, moment):
    left, early, cleaned_up, at_work, gone = Left(), [], threading.Event(), threading.Event(), threading.Event()

    def clean_up(seconds):
        early.append(left.wait(seconds))
        cleaned_up.set()

    def work(_request, _context):
        try:
            while moment == "writing":
                yield bytes(100_000)
            at_work.set()
            assert gone.wait(10)
            yield b""
        finally:
            clean_up(0.2)

    async def work_async(_request, _context):
        try:
            while moment == "writing":
                yield bytes(100_000)
            at_work.set()
            await asyncio.sleep(20)
            yield b""
        finally:
            clean_up(0)

    handler = grpc.unary_stream_rpc_method_handler(work_async if sort == "async" else work)
    with serving_handlers(sort, {"unary_stream": handler}, Errors(), left) as client:
        call = client.open("unary_stream", b"x")
        assert (moment == "at work" and at_work.wait(10)) or next(call)
        call.cancel()
        gone.set()
        assert cleaned_up.wait(10)
        assert left.wait(10)
    assert early == [False]

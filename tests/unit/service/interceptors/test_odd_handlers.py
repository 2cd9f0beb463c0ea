"""Whatever a handler does, its caller has one answer, the log one event, and grpc nothing to complain of."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from roadstead.service.interceptors import AsyncChain, Errors, ThreadChain

NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "nothing")


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


async def own_internal_error(context):
    """As a call to another service may raise it."""
    raise grpc.aio.InternalError("secret of a handler")


async def own_client_error(context):
    raise grpc.RpcError("secret of a handler")


async def own_timeout(context):
    raise TimeoutError("secret of a handler")


async def wrong_trailers(context):
    await context.abort(grpc.StatusCode.NOT_FOUND, "secret of a handler", (("Bad Key", 5),))


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


def own_client_error_plain(context):
    raise grpc.RpcError("secret of a handler")


def own_timeout_plain(context):
    raise TimeoutError("secret of a handler")


def wrong_code_plain(context):
    context.abort("no code", "secret of a handler")


ENDED = {"NOT_FOUND", "ALREADY_EXISTS", "INTERNAL"}
ASYNC = [twice, then_raise, and_go_on, own_internal_error, own_client_error, own_timeout]
PLAIN = [twice_plain, then_raise_plain, and_go_on_plain, own_client_error_plain, own_timeout_plain]
CASES = [
    *(("async", act) for act in ASYNC),
    *((sort, act) for sort in ("sync-on-async", "threads") for act in PLAIN),
    ("sync-on-async", wrong_code_plain),
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


@pytest.fixture
def called(loop_thread, recorder):
    @contextmanager
    def server(kind: str, sort: str, act):
        handlers = grpc.method_handlers_generic_handler("t.T", {"M": handler_of(kind, sort, act)})
        if sort == "threads":
            with ThreadPoolExecutor(2) as pool:
                made = grpc.server(pool, (handlers,), interceptors=[ThreadChain(recorder, Errors())])
                port = made.add_insecure_port("127.0.0.1:0")
                made.start()
                yield port
                made.stop(None).wait()
            return

        async def start():
            made = grpc.aio.server(interceptors=[AsyncChain(recorder, Errors())])
            made.add_generic_rpc_handlers((handlers,))
            port = made.add_insecure_port("127.0.0.1:0")
            await made.start()
            return made, port

        made, port = loop_thread.run(start())
        yield port
        loop_thread.run(made.stop(None))

    def called(kind: str, sort: str, act) -> tuple[str, str]:
        with server(kind, sort, act) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            request = iter([b"x"]) if kind.startswith("stream") else b"x"
            with pytest.raises(grpc.RpcError) as caught:
                answer = getattr(channel, kind)("/t.T/M")(request, timeout=20)
                list(answer) if kind.endswith("stream") else answer
            recorder.wait(1)
            return caught.value.code().name, caught.value.details()

    return called


@pytest.mark.parametrize(("sort", "act"), CASES)
def test_one_answer_and_one_event(called, kind, sort, act, recorder, caplog):
    with capture_logs(), caplog.at_level(logging.WARNING):
        code, details = called(kind, sort, act)
    assert code in ENDED
    assert "secret" not in details
    assert recorder.seen == [("t.T/M", code)]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("grpc")] == []


def test_what_grpc_cannot_send_is_answered_by_it(called, kind, recorder, caplog):
    """It takes no second attempt, and answers for itself."""
    with capture_logs() as logs, caplog.at_level(logging.CRITICAL):
        code, details = called(kind, "async", wrong_trailers)
    assert code == "UNKNOWN"
    assert "secret" not in details
    assert recorder.seen == [("t.T/M", "UNKNOWN")]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["handler failed"]

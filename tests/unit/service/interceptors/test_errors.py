"""What is told of an exception, and to whom: an id to the caller, to the log all but the values of variables."""

import sys

import grpc
import pytest
import structlog
from echo_service import RAISED
from structlog.testing import capture_logs

from roadstead.service import RpcError
from roadstead.service.interceptors import Errors


class Wordless(RpcError):
    """An author's own error with a text that is none; a handler that raises the class makes it."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.NOT_FOUND, None)


class Halfway(RpcError):
    """An author's own error, which forgets to begin with what it inherits."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def raised():
    before = dict(RAISED)
    yield RAISED
    RAISED.clear()
    RAISED.update(before)


@pytest.mark.parametrize("error", [Wordless, Halfway])
def test_a_misused_error_is_an_exception_of_the_handler(serving, server_sort, kind, raised, error):
    raised[b"misused"] = error
    with capture_logs() as logs, serving(server_sort, Errors()) as client:
        ended = client.call(kind, b"misused")
    [event] = [log for log in logs if log["event"] == "handler failed"]
    assert (ended.code, ended.details) == ("INTERNAL", f"internal error; its id is {event['error_id']}")
    assert "do_sync" in event["exception"], "where it was raised"


CONSOLE = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=True))
RENDERERS = {
    "unconfigured": structlog.get_config()["processors"],
    "rich": [CONSOLE],
    "JSON": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    "JSON with frames": [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()],
}


@pytest.fixture(params=RENDERERS)
def renderer(request):
    structlog.configure(
        processors=RENDERERS[request.param], logger_factory=lambda *_: structlog.PrintLogger(sys.stdout)
    )
    yield
    structlog.reset_defaults()


def test_the_log_has_no_values_of_variables(serving, server_sort, kind, raised, renderer, capsys):
    raised[b"password=wonderland"] = error = ValueError("no such user")
    error.add_note("asked by hand")
    with serving(server_sort, Errors()) as client:
        ended = client.call(kind, b"password=wonderland")
    said = capsys.readouterr().out
    assert ended.details.rpartition(" ")[2] in said
    for traced in ("handler failed", "do_sync", "raise RAISED[word]", "ValueError: no such user", "asked by hand"):
        assert traced in said
    assert "wonderland" not in said

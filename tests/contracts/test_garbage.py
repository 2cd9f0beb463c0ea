"""An RPC that has ended is freed at once: whatever stays for the collector of cycles costs every later one."""

import gc
import threading

import pytest
from echo_service import KINDS, OWN_SERVERS, SERVERS, Recorder, serving
from structlog.testing import capture_logs

from roadstead.service.decision import Policy
from roadstead.service.interceptors import AccessLog, Authorization, Call, Concurrency, Deadline, Errors, Rate, Stage
from roadstead.service.interceptors.plain_context import PlainContext
from roadstead.service.policy import parse_policy

POLICY = parse_policy("{anonymous: [test.Echo/*], roles: {}, groups: {}, identities: {}}")
CALLS = 20


@pytest.fixture
def uncollected():
    """The objects that only the collector of cycles would free; nothing is collected meanwhile.

    What earlier tests have left behind, in threads that end when they like, is held, and so never among them.
    """
    gc.collect()
    earlier = [each for each in gc.get_objects() if isinstance(each, Call | PlainContext)]
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)

    def found() -> list:
        gc.collect()
        return [each for each in gc.garbage if isinstance(each, Call | PlainContext)]

    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    earlier.clear()
    gc.enable()


STAGES = (AccessLog(), Errors(), Deadline(cap=60), Authorization(lambda: POLICY), Concurrency(50), Rate(1000))


IN_THREADS = ("threads", "ThreadedServer")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", (*SERVERS, *OWN_SERVERS))
def test_nothing_of_ours_waits_for_the_collector(sort, kind, uncollected):
    seen = Recorder()
    with serving(sort, seen, *STAGES) as client:
        for _ in range(CALLS):
            assert client.call(kind, b"hello").code == "OK"
        assert len(seen.wait(CALLS)) == CALLS
        assert uncollected() == []


# Not on asyncio: grpc.aio keeps what it raises for an abort, and that knows the frames that it went through.
@pytest.mark.parametrize(("word", "code"), [
    (b"abort", "FAILED_PRECONDITION"), (b"refuse", "NOT_FOUND"), (b"boom", "INTERNAL"),
])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", IN_THREADS)
def test_nor_of_calls_that_fail(sort, kind, word, code, uncollected):
    seen = Recorder()
    with capture_logs(), serving(sort, seen, *STAGES) as client:
        for _ in range(CALLS):
            assert client.call(kind, word).code == code
        assert len(seen.wait(CALLS)) == CALLS
        assert uncollected() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", IN_THREADS)
def test_nor_of_calls_that_are_refused(sort, kind, uncollected):
    seen = Recorder()
    with serving(sort, seen, Authorization(Policy)) as client:
        for _ in range(CALLS):
            assert client.call(kind, b"hello").code == "UNAUTHENTICATED"
        assert len(seen.wait(CALLS)) == CALLS
        assert uncollected() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", ("async", "Server"))
def test_nor_of_calls_whose_callers_go(sort, kind, uncollected):
    class Entered(Stage):
        """Tells when a call has come."""

        def __init__(self) -> None:
            self.count = threading.Semaphore(0)

        def enter(self, call) -> None:
            self.count.release()

    seen, entered = Recorder(), Entered()
    with serving(sort, seen, *STAGES, entered) as client:
        for count in range(1, CALLS + 1):
            call = client.open(kind, b"sleep")
            assert entered.count.acquire(timeout=10)
            call.cancel()
            assert len(seen.wait(count)) == count
        assert uncollected() == []

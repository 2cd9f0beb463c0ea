"""Fixtures of the service library's tests; what they give is in `tests/echo_service.py`."""

import pytest
from echo_service import KINDS, SERVERS, TAKEN, Certificates, LoopThread, Recorder, loop_thread, serving

from roadstead.service.deadline import set_time_left


@pytest.fixture(autouse=True)
def outside_of_any_rpc():
    """Stages that a test asks directly leave a deadline behind in the test's own context: forget it, and messages."""
    yield
    set_time_left(None)
    TAKEN.clear()


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(params=SERVERS)
def server_sort(request) -> str:
    return request.param


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(name="serving")
def serving_fixture():
    return serving


@pytest.fixture(name="loop_thread")
def loop_thread_fixture() -> LoopThread:
    return loop_thread()


@pytest.fixture
def certificates(tmp_path) -> Certificates:
    return Certificates(tmp_path)

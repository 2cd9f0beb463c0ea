"""Fixtures that every test may ask for, and the way in which a test run ends."""

import os
import signal
import sys

# Before anything imports grpc: with its own handlers of forks, a child of a forked child waits in `fork` for threads
# that only the first process has, as soon as any test has left a server or a channel behind.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import pytest
from goldens import golden as golden
from hypothesis import settings

# How long an example takes is the machine's affair: speed is measured in bench/. Hypothesis' own profile for CI agrees.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")

# What a shell without job control runs in the background ignores interrupts, and so would every command that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

_exit_code = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_exit_code] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End without the interpreter's own end: grpc.aio's poller, used from several event loops, can block that for ever.

    Everything has been reported by then (grpc/grpc#25364 and its kin; seen once, after all tests had passed).
    """
    if _exit_code in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_exit_code])

"""What our processes log is for people, and never shows the local variables of a traceback."""

import subprocess
import sys

PROGRAM = """
import structlog
from roadstead.lib.logs import log_for_people

log_for_people()
log = structlog.get_logger("test")
log.debug("too much detail")

def fail(password):
    raise ValueError("no")

try:
    fail("wonder" + "land")
except ValueError:
    log.exception("it failed", pod="web-1")
"""


def test_an_exception_is_logged_without_its_local_variables() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "it failed" in done.stderr and "pod=web-1" in done.stderr
    assert "ValueError: no" in done.stderr and "Traceback" in done.stderr
    assert "wonderland" not in done.stderr
    assert "too much detail" not in done.stderr

"""A supervisor's processes log without rich."""

import subprocess
import sys

SCRIPT = """
import sys
import roadstead.cluster.__main__
import roadstead.cluster.supervisor
from roadstead.lib.logs import log_for_people
import structlog

log_for_people()
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("said plainly")
assert not [name for name in sys.modules if name.partition(".")[0] in {"rich", "pygments"} and sys.modules[name]]
"""


def test_a_supervisor_imports_no_rich_and_still_logs_tracebacks() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "said plainly" in done.stderr
    assert "ZeroDivisionError" in done.stderr

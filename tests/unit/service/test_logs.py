import json
import subprocess
import sys

from roadstead.service.logs import as_json_line


def test_a_line_has_its_time_and_level():
    line = json.loads(as_json_line(None, "warning", {"event": "rpc", "path": object}))
    assert list(line) == ["time", "level", "event", "path"]
    assert (line["level"], line["event"]) == ("warning", "rpc")
    assert len(line["time"]) == len("2026-11-22T12:00:00.000000Z")


def test_half_a_character_costs_no_line():
    line = json.loads(as_json_line(None, "error", {"event": "rpc", "reason": "report-\udcfc.txt", "path": object}))
    assert line["reason"] == "report-\udcfc.txt"


PROGRAM = """
import structlog
from roadstead.service.logs import log_as_json
log_as_json(variables={"LOG_LEVEL": "info"})
log = structlog.get_logger()
log.debug("too quiet")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed", number=1)
"""


def test_a_process_logs_lines_of_json():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["level"], line["event"], line["number"]) == ("error", "failed", 1)
    assert "ZeroDivisionError" in line["exception"]

import json
import subprocess
import sys

import pytest

from roadstead.service.logs import as_json_line


def test_a_line_has_its_time_and_level():
    line = json.loads(as_json_line(None, "warning", {"event": "rpc", "path": object}))
    assert list(line) == ["time", "level", "event", "path"]
    assert (line["level"], line["event"]) == ("warning", "rpc")
    assert len(line["time"]) == len("2026-11-22T12:00:00.000000Z")


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no words")


OWN = [1]
OWN.append(OWN)
DEEP = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(("value", "shown"), [
    ("report-\udcfc.txt", "report-\udcfc.txt"),
    (OWN, "[1, [...]]"),
    (DEEP, "<list>"),
    (Unspeakable(), "<Unspeakable>"),
])  # fmt: skip
def test_a_value_that_is_no_json_costs_no_line(value, shown):
    line = json.loads(as_json_line(None, "error", {"event": "rpc", "reason": value, "count": 1, "none": None}))
    assert line["level"] == "error"
    assert (line["event"], line["reason"], line["count"], line["none"]) == ("rpc", shown, 1, None)


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

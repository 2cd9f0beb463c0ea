"""Expressions and their values as cel-go answers them in Kubernetes' environment: `testdata/answers.txt`.

A line is an expression and its value; `error` stands for one that has none, `refused` for one that is not compiled.
"""

import json
from pathlib import Path

import pytest

from roadstead.apiserver.cel import CelError, CelSyntaxError, compile_rule

VARIABLES = {
    "object": {
        "metadata": {"name": "web", "labels": {"app": "web", "x/y": "1"}, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "list": [{"a": 1}, {}],
            "names": ["b", "a", "b"],
            "empty": "",
            "on": True,
            "none": None,
            "ratio": 1.5,
            "a-b": 4,
            "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}],
            "when": "2026-01-02T03:04:05.678Z",
            "nested": [1, [2, [3]]],
        },
    },
    "oldObject": None,
    "request": {
        "operation": "CREATE",
        "userInfo": {"username": "ann", "groups": ["dev", "ops"]},
        "dryRun": False,
    },
    "params": None,
    "variables": {"n": 5},
}
LINES = (Path(__file__).parent / "testdata" / "answers.txt").read_text(encoding="utf-8").splitlines()
ANSWERS = [line.rsplit(" => ", 1) for line in LINES if line and not line.startswith("# ")]


def answer(text):
    try:
        program = compile_rule(text, frozenset(VARIABLES))
    except CelSyntaxError:
        return "refused"
    try:
        return json.dumps(program(None, **VARIABLES), ensure_ascii=False, sort_keys=True)
    except CelError:
        return "error"


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_answers(text, expected):
    assert answer(text) == expected


def test_every_part_of_the_language_is_asked_about():
    assert len(ANSWERS) > 600
    assert {expected for _, expected in ANSWERS} >= {"true", "false", "error", "refused"}

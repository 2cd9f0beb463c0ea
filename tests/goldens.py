"""Goldens: a value compared with a plain YAML file that reviewers read.

    def test_table(golden):
        golden("pods-table", table(...))      # compares with testdata/pods-table.yaml beside the test's file

`scripts/golden --update PATHS` runs the tests with ROADSTEAD_UPDATE_GOLDENS=1, which rewrites the files instead. A test
that makes many cases of one directory calls `check(path, value)` itself.
"""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


class _Dumper(yaml.SafeDumper):
    """Prints long texts as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.Node:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(value: Any) -> str:
    """Return a value as the YAML that goldens are written in."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def check(path: Path, value: Any) -> None:
    """Compare a value with a golden file, or write the file if goldens are being updated. Fails with a diff."""
    actual = dump(value)
    if os.environ.get("ROADSTEAD_UPDATE_GOLDENS") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual)
    expected = path.read_text() if path.exists() else ""
    if yaml.load(expected, yaml.CSafeLoader) != yaml.load(actual, yaml.CSafeLoader):
        difference = difflib.unified_diff(expected.splitlines(), actual.splitlines(), str(path), "actual", lineterm="")
        pytest.fail("\n".join(difference) + "\nIf this is right: scripts/golden --update", pytrace=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Return `compare(name, value)`, which checks a value against `testdata/NAME.yaml` beside the test's file."""
    return lambda name, value: check(request.path.parent / "testdata" / f"{name}.yaml", value)

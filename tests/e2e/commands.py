"""Runs the real commands as a user would, with a state folder and a kubeconfig of the test's own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from polling import PATIENCE

BIN = Path(sys.executable).parent
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Commands:
    """The environment of the commands; everything that they write is below `home`."""

    home: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "ROADSTEAD_HOME": str(self.home / "state"),
            "KUBECONFIG": str(self.home / "kubeconfig"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "KUBECACHEDIR": str(self.home / "kube-cache"),
        }

    def run(self, program: str, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end, whatever its exit code."""
        return subprocess.run(
            [BIN / program, *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on, in a session of its own as a terminal gives it."""
        return subprocess.Popen(
            [BIN / program, *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def roadstead(self, *arguments: str) -> str:
        """Run roadstead; return what it printed to stdout. Fails the test if it fails."""
        return _checked(self.run("roadstead", *arguments))

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl; return what it printed to stdout. Fails the test if it fails."""
        return _checked(self.run("kubectl", *arguments))

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get ... -o json` prints."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))


def _checked(done: subprocess.CompletedProcess[str]) -> str:
    command = " ".join(map(str, done.args))
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def eventually(see: Callable[[], Seen], good: Callable[[Seen], bool], patience: float = PATIENCE) -> Seen:
    """Look until it is good; fail with what was seen last when patience ends."""
    deadline = time.monotonic() + patience
    while not good(seen := see()):
        assert time.monotonic() < deadline, f"after {patience:g} s still {seen}"
        time.sleep(0.05)
    return seen

"""client-go and controller-runtime against a whole cluster: what operators written in Go do.

The program is in `clients_go`; it is built once, into a cache outside of the repository. Where `go` or its modules are
missing this skips itself: users of Roadstead need neither.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.client_cluster import cluster
from e2e.commands import Commands
from e2e.small_system import deployment

SOURCES = Path(__file__).parent / "clients_go"
CASES = re.findall(r'^\t"([a-z-]+)": ', (SOURCES / "main.go").read_text(), re.MULTILINE)
BUILD_SECONDS = 900
"""A first build downloads and compiles all of client-go."""
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(BUILD_SECONDS + 60)]


@pytest.fixture(scope="module")
def program() -> Path:
    """The built program; Go's own cache makes this a matter of a second when nothing has changed."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed: operators written in Go are not tried")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roadstead-tests"
    built = cache / "clients"
    done = subprocess.run(
        [go, "build", "-o", built, "."], cwd=SOURCES, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if done.returncode and re.search(r"dial tcp|no such host|i/o timeout|toolchain not available", done.stderr):
        pytest.skip(f"Go's modules cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return built


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[Commands]:
    with cluster(tmp_path_factory.mktemp("go"), "go") as commands:
        (commands.home / "scaled.yaml").write_text(str(deployment("scaled", "registry.example.com/echo:1")))
        commands.kubectl("apply", "-f", str(commands.home / "scaled.yaml"))
        commands.kubectl("rollout", "status", "deployment/scaled", "--timeout=60s")
        yield commands


@pytest.mark.parametrize("case", CASES)
def test_an_operator_in_go_finds_a_cluster(commands: Commands, program: Path, case: str) -> None:
    done = subprocess.run([program, case], env=dict(commands.environment), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr

"""However a cluster ends, nothing of it remains on the machine: no process, no mount, no listening port."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import small_system as small
from e2e.commands import Commands, eventually

from roadstead.api.conditions import is_true
from roadstead.cluster.layout import Layout, running_supervisor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NAME = "cleanup-test"


@pytest.fixture
def commands(tmp_path):
    commands = Commands(tmp_path)
    yield commands
    assert commands.run("roadstead", "down", "--name", NAME).returncode == 0


def layout_of(commands: Commands) -> Layout:
    return Layout(Path(commands.environment["ROADSTEAD_HOME"]) / "clusters" / NAME)


def family(commands: Commands) -> set[tuple[int, str]]:
    """Return every process of the cluster as (id, start time): those with its state folder, and all below them."""
    marker = f"ROADSTEAD_HOME={commands.environment['ROADSTEAD_HOME']}".encode()
    found = set()
    waiting = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if marker in _read(entry / "environ")]
    while waiting:
        pid = waiting.pop()
        started = start_time(pid)
        if started and (pid, started) not in found and pid != os.getpid():
            found.add((pid, started))
            waiting += children(pid)
    return found


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        yield from map(int, _read(task / "children").split())


def start_time(pid: int) -> str:
    """Return when a process began, which tells it from a later one of the same id; empty if it is gone or a zombie."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return fields[19].decode() if fields and fields[0] != b"Z" else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def alive(processes: set[tuple[int, str]]) -> set[int]:
    return {pid for pid, started in processes if start_time(pid) == started}


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def listening() -> set[str]:
    """Return the loopback addresses of Gateways that somebody on this machine listens on (127.1.x.y)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A" and row[1][4:8] == "017F"}


def start(commands: Commands, folder: Path) -> set[tuple[int, str]]:
    commands.roadstead("up", str(folder), "--name", NAME, "--detach", "--timeout", "60")
    processes = family(commands)
    assert len(processes) >= 5, "supervisor, netd, relay, Envoy and a server"
    return processes


def test_down_leaves_nothing(commands, tmp_path) -> None:
    folder, before = small.write(tmp_path / "project", small.whole()), listening()
    processes = start(commands, folder)
    assert listening() - before
    commands.roadstead("down", "--name", NAME)
    assert alive(processes) == set()
    assert mounts_below(tmp_path) == []
    assert listening() <= before
    assert not layout_of(commands).root.exists()


def test_a_killed_supervisor_leaves_nothing_running_and_comes_back(commands, tmp_path) -> None:
    folder, before = small.write(tmp_path / "project", small.whole()), listening()
    processes = start(commands, folder)
    supervisor = running_supervisor(layout_of(commands))
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: alive(processes), lambda left: not left)
    assert mounts_below(tmp_path) == []
    assert listening() <= before
    pod = start(commands, folder)
    assert alive(pod)
    # "Ready" was said of what runs now: what the store told of the pods' former life did not count.
    pods = commands.get("pods", "--kubeconfig", str(layout_of(commands).kubeconfig))["items"]
    assert {is_true(pod["status"]["conditions"], "Ready") for pod in pods} == {True}
    assert {each["restartCount"] for pod in pods for each in pod["status"]["containerStatuses"]} == {1}


def test_an_attached_cluster_ends_with_the_command_that_is_killed(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    running = small.start_attached(commands, folder, NAME)
    processes = family(commands)
    assert len(processes) >= 5
    running.kill()
    running.communicate()
    eventually(lambda: alive(processes), lambda left: not left)
    assert mounts_below(tmp_path) == []

"""Nothing is left of a node, however it ended: no process, no mount, no namespace."""

import contextlib
import os
import pickle
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from network_bed import as_both_users, in_child
from node_bed import NodeBed, in_node_cluster, run_node_cluster
from polling import until

pytestmark = pytest.mark.e2e


@pytest.fixture
def mark() -> str:
    """How long a pod's process sleeps: a number that no other process on this machine has."""
    return f"86400.{os.getpid()}{time.monotonic_ns()}"


def processes_with(mark: str) -> list[Path]:
    """Return the processes that sleep for so long."""
    return [process for process in Path("/proc").glob("[0-9]*") if _words(process) == f"sleep {mark} "]


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def namespaces_of(processes: Iterable[Path]) -> set[str]:
    """Return the network, mount and PID namespaces that processes are in; an ordinary user sees only his own."""
    found = set()
    for process in processes:
        for kind in ("net", "mnt", "pid"):
            with contextlib.suppress(OSError):
                found.add(str((process / "ns" / kind).readlink()))
    return found


def what_is_left(mark: str, namespaces: set[str], timeout: float = 5.0) -> tuple[list[Path], set[str]]:
    """Return the processes and namespaces that are still there after a while."""
    deadline = time.monotonic() + timeout
    while True:
        left = processes_with(mark), namespaces & namespaces_of(Path("/proc").glob("[0-9]*"))
        if left == ([], set()) or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


@pytest.mark.parametrize("isolated", [True, False], ids=["namespaces", "none"])
@as_both_users
def test_killing_the_supervisor_leaves_nothing(user, isolated, mark):
    reader, writer = os.pipe()

    async def scenario(bed: NodeBed):
        # A grandchild that left its session: what a mere process group would miss.
        await bed.create("web", f"setsid sleep {mark} & exec sleep {mark}")
        await bed.ready("web")
        await until(lambda: len(processes_with(mark)) == 2)
        own = namespaces_of([Path("/proc/self")])
        seen = namespaces_of(processes_with(mark)) - own, str(bed.folder)
        os.write(writer, pickle.dumps(seen))
        os.kill(os.getpid(), signal.SIGKILL)

    supervisor = os.fork()
    if supervisor == 0:
        be_supervisor(user, scenario, isolated)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        namespaces, folder = pickle.loads(pipe.read())
    os.waitpid(supervisor, 0)
    assert len(namespaces) == (3 if isolated else 0)
    assert what_is_left(mark, namespaces) == ([], set())
    assert folder not in Path("/proc/self/mountinfo").read_text()
    shutil.rmtree(folder)


def be_supervisor(user, scenario, isolated):
    """Run the node in a child of this process, which does not come back either."""
    try:
        in_child(user, lambda: run_node_cluster(scenario, isolated=isolated))
    finally:
        os._exit(0)


@as_both_users
def test_an_orderly_stop_leaves_nothing(user, mark):
    async def scenario(bed: NodeBed):
        await bed.create("web", f"exec sleep {mark}", terminationGracePeriodSeconds=0)
        await bed.ready("web")
        return namespaces_of(processes_with(mark)) - namespaces_of([Path("/proc/self")])

    assert what_is_left(mark, in_node_cluster(user, scenario)) == ([], set())

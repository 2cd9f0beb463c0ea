"""Whether a cluster runs is decided by its lock, which the kernel releases however the supervisor ends."""

import os
import subprocess
import sys

import pytest

from roadstead.cluster.layout import Layout, cluster_names, hold_lock, running_supervisor


@pytest.fixture
def layout(tmp_path, monkeypatch) -> Layout:
    monkeypatch.setenv("ROADSTEAD_HOME", str(tmp_path))
    layout = Layout.of("devops")
    layout.make()
    return layout


def test_folders_are_closed_to_other_users(layout) -> None:
    assert cluster_names() == ["devops"]
    assert {path.stat().st_mode & 0o077 for path in (layout.root, layout.pki, layout.pods, layout.xds)} == {0}


def test_nothing_runs_before_the_lock_is_held(layout) -> None:
    assert running_supervisor(layout) is None


def test_the_holder_is_found_and_a_second_one_refused(layout) -> None:
    descriptor = hold_lock(layout)
    assert running_supervisor(layout) == os.getpid()
    with pytest.raises(BlockingIOError):
        hold_lock(layout)
    os.close(descriptor)
    assert running_supervisor(layout) is None


def test_a_killed_supervisor_leaves_its_number_but_no_lock(layout) -> None:
    program = (
        "import sys, pathlib, time; from roadstead.cluster.layout import Layout, hold_lock; "
        f"hold_lock(Layout(pathlib.Path({str(layout.root)!r}))); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    assert running_supervisor(layout) == holder.pid
    holder.kill()
    holder.communicate()
    assert layout.lock.read_text() == str(holder.pid)
    assert running_supervisor(layout) is None

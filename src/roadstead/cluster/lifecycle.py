"""Starts and stops a cluster from outside: the command line's side of the supervisor process.

The supervisor is a process of its own. It reports its progress as JSON lines on a pipe until it says `ready` or
`error`. A cluster that is attached to a command also holds a lifeline, a pipe whose far end is in the command: when
the command ends, however it ends, the supervisor sees end of file and stops the cluster.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from roadstead.cluster import configuration as settings
from roadstead.cluster.configuration import ClusterConfiguration
from roadstead.cluster.layout import Layout, running_supervisor

_STOP_PATIENCE = 30.0


class LifecycleError(Exception):
    """A cluster could not be started or stopped; the message names it and the remedy."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the supervisor's report: what it does now, that it is ready, or why it gave up."""

    stage: str = ""
    ready: bool = False
    error: str = ""
    warning: str = ""


def write_report(descriptor: int, report: Report) -> None:
    """Write one report, from the supervisor; nobody may be listening any more, and that is no error."""
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, msgspec.json.encode(report) + b"\n")


@dataclass(slots=True)
class Running:
    """A cluster that was started by this process."""

    layout: Layout
    process: subprocess.Popen[bytes]
    lifeline: int | None
    is_new: bool

    def end(self) -> None:
        """Stop the cluster and wait until all of it is gone; its files go too, unless they were there before."""
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None
        if self.is_new:
            delete(self.layout)
        else:
            stop(self.layout)
        self.process.wait()


@dataclass(slots=True)
class Starting:
    """A cluster whose supervisor has been started: `wait` for it, or do something else first."""

    running: Running
    _reports: int

    def wait(self, on_report: Callable[[Report], None] = lambda _: None) -> Running:
        """Return when the cluster's API answers. Raises LifecycleError when the supervisor gives up."""
        layout, process = self.running.layout, self.running.process
        for report in _read(self._reports):
            on_report(report)
            if report.ready:
                return self.running
            if report.error:
                process.wait()
                raise LifecycleError(report.error)
        code = process.wait()
        raise LifecycleError(
            f"cluster {layout.root.name!r} ended while starting (exit code {code}); its log {layout.log} ends with:\n"
            + _tail(layout)
        )


def start(configuration: ClusterConfiguration, *, attached: bool) -> Starting:
    """Start the cluster's supervisor. Raises LifecycleError when it runs already."""
    layout = Layout.of(configuration.name)
    if (pid := running_supervisor(layout)) is not None:
        raise LifecycleError(
            f"cluster {configuration.name!r} is running already (process {pid}); "
            f"stop it with `roadstead down --name {configuration.name}` or choose another --name"
        )
    is_new = not layout.exists
    layout.make()
    settings.write(configuration, layout.configuration)
    reports, lifeline, process = _spawn(layout, attached=attached)
    return Starting(Running(layout, process, lifeline, is_new), reports)


def _spawn(layout: Layout, *, attached: bool) -> tuple[int, int | None, subprocess.Popen[bytes]]:
    report_reader, report_writer = os.pipe()
    lifeline_reader, lifeline_writer = os.pipe() if attached else (None, None)
    inherited = [descriptor for descriptor in (report_writer, lifeline_reader) if descriptor is not None]
    command = [sys.executable, "-m", "roadstead.cluster", str(layout.root), "--report", str(report_writer)]
    if lifeline_reader is not None:
        command += ["--lifeline", str(lifeline_reader)]
    with layout.log.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=inherited, start_new_session=True,
            env=supervisor_environment(os.environ),
        )  # fmt: skip
    for descriptor in inherited:
        os.close(descriptor)
    return report_reader, lifeline_writer, process


def supervisor_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the supervisor: the caller's, without what would change how our own code runs."""
    return {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "PYTHONSTARTUP")}


def _read(reports: int) -> Iterator[Report]:
    with os.fdopen(reports, "rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Report)


def _tail(layout: Layout, lines: int = 20) -> str:
    text = layout.log.read_text(errors="replace") if layout.log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def stop(layout: Layout) -> bool:
    """Stop the cluster's supervisor if it runs, wait for its end, and say whether it ran.

    Raises LifecycleError if it does not end: its pods get their grace period first, then it is killed.
    """
    pid = running_supervisor(layout)
    if pid is None:
        return False
    for signal_, patience in ((signal.SIGTERM, _STOP_PATIENCE), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, signal_)
        except ProcessLookupError:
            return True
        if _ended(layout, patience):
            return True
    raise LifecycleError(f"process {pid} of the cluster in {layout.root} does not end; see {layout.log}")


def _ended(layout: Layout, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if running_supervisor(layout) is None:
            return True
        time.sleep(0.02)
    return False


def delete(layout: Layout) -> bool:
    """Stop the cluster and remove all its files; say whether there was one."""
    if not layout.root.exists():
        return False
    stop(layout)
    layout.remove()
    return True

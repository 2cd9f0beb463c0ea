"""Prometheus metrics of several processes in one place: the parent serves what all of them counted.

prometheus-client can keep a process's metrics in files of a common directory, if a variable names it before the library
is imported. The parent makes the directory and sets the variable for its processes; `interceptors.metrics` reads it.
Files of processes that ended stay, so that counters never go back.
"""

import importlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LIBRARY = "prometheus_client"
_directory: str | None = None


def directory() -> str | None:
    """Return where the processes of this parent keep their metrics; None if it has no processes (yet)."""
    return _directory


@contextmanager
def shared_metrics(variables: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the variables for processes whose metrics are to be shared; the same ones if nobody uses the library.

    A directory that the variable already names is used and kept; otherwise one is made, and removed at the end. Raises
    OSError if there is no place for it (a pod whose file system is read-only needs an emptyDir at /tmp).
    """
    global _directory
    if _LIBRARY not in sys.modules:
        yield variables
        return
    with tempfile.TemporaryDirectory(prefix="metrics-") as made:
        _directory = variables.get(VARIABLE) or made
        try:
            yield {**variables, VARIABLE: _directory}
        finally:
            _directory = None


def forget(pid: int) -> None:
    """Remove what only a living process can say: its gauges that are marked as such."""
    if _directory is not None:
        importlib.import_module(f"{_LIBRARY}.multiprocess").mark_process_dead(pid, _directory)

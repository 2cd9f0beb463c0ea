"""What processes use of the machine: CPU time and memory, read from /proc and added up for each container.

There are no control groups to ask, since an ordinary user may not make any: a container's use is that of its process
and of all that descend from it. netd reads (it sees the pods' processes); everything else here is pure. Next:
`metering`, which makes rates of two readings.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """Seconds of CPU since the beginning, and bytes of memory now."""

    cpu: float = 0.0
    memory: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu + other.cpu, self.memory + other.memory)


class ProcessUsage(msgspec.Struct, frozen=True):
    """One process and its parent."""

    pid: int
    parent: int
    usage: Usage


def parse_process(stat: str, statm: str) -> ProcessUsage:
    """Read `/proc/PID/stat` and `statm` (proc_pid_stat(5)). Raises ValueError or IndexError if that is not what it is.

    The CPU time includes that of children which have ended; memory is what the process has for itself, without the
    files and libraries that it shares with others.
    """
    name_ends = stat.rindex(")")
    fields = stat[name_ends + 2 :].split()
    parent, ticks = int(fields[1]), sum(int(field) for field in fields[11:15])
    resident, shared = (int(field) for field in statm.split()[1:3])
    return ProcessUsage(int(stat.split(" ", 1)[0]), parent, Usage(ticks / _TICKS, max(resident - shared, 0) * _PAGE))


def by_owner(processes: Iterable[ProcessUsage], owners: Mapping[int, int]) -> dict[int, Usage]:
    """Add up what belongs together: `owners` has whose a process is; so are its descendants, unless they are named."""
    known = {process.pid: process for process in processes}
    totals = dict.fromkeys(owners.values(), Usage())
    for process in known.values():
        owner = _owner(process, known, owners)
        if owner is not None:
            totals[owner] += process.usage
    return totals


def _owner(process: ProcessUsage, known: Mapping[int, ProcessUsage], owners: Mapping[int, int]) -> int | None:
    seen = set[int]()
    ancestor: ProcessUsage | None = process
    while ancestor is not None and ancestor.pid not in seen:
        if ancestor.pid in owners:
            return owners[ancestor.pid]
        seen.add(ancestor.pid)
        ancestor = known.get(ancestor.parent)
    return None


def parse_machine(stat: str, meminfo: str) -> Usage:
    """Read `/proc/stat` and `/proc/meminfo`: what the whole machine has used, and uses. Raises ValueError, IndexError.

    The time in which the machine was idle or waited for a disk is none; memory that can be had back at once is free.
    """
    times = [int(field) for field in stat.splitlines()[0].split()[1:9]]
    busy = sum(times) - times[3] - times[4]
    sizes = {line.split(":", 1)[0]: int(line.split()[1]) for line in meminfo.splitlines() if line.endswith("kB")}
    return Usage(busy / _TICKS, (sizes.get("MemTotal", 0) - sizes.get("MemAvailable", 0)) * 1024)


def read_processes(proc: Path = Path("/proc")) -> list[ProcessUsage]:
    """Return all processes that this one sees; those that end meanwhile are left out."""
    found = []
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found.append(parse_process((folder / "stat").read_text(), (folder / "statm").read_text()))
    return found


def read_machine(proc: Path = Path("/proc")) -> Usage:
    """Return what the whole machine has used, and uses. Raises OSError, ValueError."""
    return parse_machine((proc / "stat").read_text(), (proc / "meminfo").read_text())

"""What a container sees as `/`: this machine's files, each folder under an overlay, and what is the container's own.

There are no images to unpack, so the root is made of the machine's own folders: an overlay on each, so that writes stay
in the container and vanish with it; own /tmp, /run, /dev and /proc; the pod's volumes. Pure: from a listing of the
machine to steps. Next: `container`, which takes the steps.

An overlay cannot be laid over a folder that has other mounts below it (the kernel refuses it to an ordinary user), so
such a folder is mirrored: a folder of our own with an overlay on each of its entries.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

OWN_FOLDERS = ("/tmp", "/run", "/dev", "/proc")  # noqa: S108 (names inside the container, not on this machine)
"""Folders that every container has for itself, empty at first."""

_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder of this machine: `kind` is `folder`, `link` (to `target`) or `file`."""

    path: str
    kind: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """Step: make a folder in the new root."""

    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """Step: make a symbolic link in the new root."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Overlay:
    """Step: lay an overlay over a folder of this machine; `missing` are the folders and files to add to it.

    They are made in the upper layer beforehand: inside the overlay the kernel would refuse it, because the folder
    above them belongs to a user that an ordinary user's namespace does not know.
    """

    path: str
    missing: tuple["Missing", ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """A mount point that the machine does not have."""

    path: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Bind:
    """Step: show a file, or a folder that cannot be overlaid, as it is and read-only."""

    path: str
    folder: bool


Step: TypeAlias = Folder | Link | Overlay | Bind
ListFolder: TypeAlias = Callable[[str], Iterable[Entry]]
ReadLink: TypeAlias = Callable[[str], str | None]
Exists: TypeAlias = Callable[[str], bool]


def base_steps(list_folder: ListFolder, mount_points: Iterable[str], visible: Iterable[str] = ()) -> list[Step]:
    """Return the steps that mirror this machine, without mount points for volumes.

    `mount_points` are this machine's; `visible` are folders below /tmp and the like to show nevertheless.
    """
    points = frozenset(mount_points)
    steps: list[Step] = []
    for entry in list_folder("/"):
        steps.extend([Folder(entry.path)] if entry.path in OWN_FOLDERS else _mirror(entry, points, list_folder))
    covered: set[str] = set()
    for path in sorted(visible):
        if is_below(path, *OWN_FOLDERS) and not is_below(path, *covered):
            covered.add(path)
            steps += [*(Folder(parent) for parent in _parents(path)), Overlay(path)]
    return steps


def _mirror(entry: Entry, points: frozenset[str], list_folder: ListFolder) -> Iterator[Step]:
    if entry.kind == "link":
        yield Link(entry.path, entry.target)
    elif entry.kind == "file":
        yield Bind(entry.path, folder=False)
    elif entry.path == "/sys" or entry.path in points:
        yield Bind(entry.path, folder=True)
    elif any(point.startswith(entry.path + "/") for point in points):
        yield Folder(entry.path)
        for child in list_folder(entry.path):
            yield from _mirror(child, points, list_folder)
    else:
        yield Overlay(entry.path)


def _parents(path: str) -> list[str]:
    parents = []
    while (path := posixpath.dirname(path)) not in ("/", ""):
        parents.append(path)
    return parents[::-1]


def is_below(path: str, *folders: str) -> bool:
    """Say whether a path is one of the folders or lies in one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def with_mount_points(steps: Iterable[Step], wanted: Iterable[Missing], exists: Exists) -> list[Step]:
    """Return the steps with every mount point that the machine lacks added to the overlay that it lies in.

    `wanted` are resolved paths (see `resolve`). Those in the container's own folders are made there when needed, and
    those inside another volume by whoever mounts that one; an entry more in an overlay below it does no harm.
    """
    missing = [point for point in wanted if not exists(point.path)]
    return [
        Overlay(step.path, tuple(point for point in missing if is_below(point.path, step.path)))
        if isinstance(step, Overlay)
        else step
        for step in steps
    ]


def resolve(path: str, read_link: ReadLink) -> str:
    """Return a container's path with every symbolic link on the way followed inside the new root, never out of it.

    `read_link` answers for this machine, which the root mirrors; the container's own folders have no links yet.
    Raises OSError for links that lead in circles.
    """
    resolved, rest, links = "", path.split("/"), 0
    while rest:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            resolved = posixpath.dirname(resolved).rstrip("/")
            continue
        here = f"{resolved}/{part}"
        target = None if is_below(here, *OWN_FOLDERS) else read_link(here)
        if target is None:
            resolved = here
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(f"{path}: too many symbolic links")
        resolved = "" if target.startswith("/") else resolved
        rest = target.split("/") + rest
    return resolved or "/"

"""From a forked child of netd to a container's first process: namespaces, root, user, privileges, exec.

Everything here runs in the child, which has one thread and never returns: it becomes the program or reports why not.
`rootfs` decided what to mount; here it is done. The order matters: mounts need the privileges of the node's user
namespace, and the program must have none of them, so the child namespace comes last.
"""

import contextlib
import fcntl
import os
import posixpath
import resource
import shutil
import signal
import socket
import termios
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roadstead.node import rootfs
from roadstead.node.netd_protocol import Mount, StartContainer
from roadstead.node.network import namespaces
from roadstead.node.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_REC,
    die_with_parent,
    drop_privileges,
    make_read_only,
    mount,
    pivot_root,
)

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_ORDINARY_SIGNALS = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
)  # fmt: skip
_LIMITS = {name: getattr(resource, f"RLIMIT_{name.upper()}") for name in ("nofile", "core", "nproc", "fsize", "as")}


@dataclass(frozen=True, slots=True)
class Machine:
    """What netd knows of this machine when it starts: where file systems are mounted, and whether root is real."""

    mount_points: tuple[str, ...]
    rootless: bool


def mount_points() -> tuple[str, ...]:
    """Return where file systems are mounted in this mount namespace (proc(5), mountinfo; octal escapes undone)."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return tuple(
        line.split(b" ")[4].decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
        for line in lines
    )


def list_folder(path: str) -> list[rootfs.Entry]:
    """Return the entries of a folder; one that may not be read has none."""
    try:
        with os.scandir(path) as entries:
            return sorted((_entry(entry) for entry in entries), key=lambda entry: entry.path)
    except OSError:
        return []


def _entry(entry: os.DirEntry[str]) -> rootfs.Entry:
    if entry.is_symlink():
        return rootfs.Entry(entry.path, "link", str(Path(entry.path).readlink()))
    return rootfs.Entry(entry.path, "folder" if entry.is_dir(follow_symlinks=False) else "file")


def _read_link(path: str) -> str | None:
    try:
        return str(Path(path).readlink())
    except OSError:
        return None


def build_root(home: Path, start: StartContainer, mounts: Sequence[Mount], machine: Machine) -> str:
    """Mount everything that the container sees below `home/root` and return that path. Raises OSError."""
    root = f"{home}/root"
    resolved = [_resolved(entry) for entry in mounts]
    wanted = [rootfs.Missing(entry.target, Path(entry.source).is_dir()) for entry in resolved]
    wanted.append(rootfs.Missing(rootfs.resolve(start.directory, _read_link), folder=True))
    steps = rootfs.base_steps(list_folder, machine.mount_points, start.visible)
    steps = rootfs.with_mount_points(steps, wanted, os.path.lexists)
    Path(root).mkdir(parents=True)
    mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755")
    for step in steps:
        _take(step, root, home, rootless=machine.rootless)
    _own_folders(root)
    outer = [entry for entry in resolved if not _is_inner(entry, resolved)]
    for entry in outer:
        _make(Path(root + entry.target), folder=Path(entry.source).is_dir())
    if start.read_only:
        make_read_only(root)
    _own_file_systems(root, start.hidden)
    _mount_volumes(root, resolved)
    return root


def _is_inner(entry: Mount, mounts: Sequence[Mount]) -> bool:
    return any(other.target != entry.target and rootfs.is_below(entry.target, other.target) for other in mounts)


def _resolved(entry: Mount) -> Mount:
    return Mount(entry.source, rootfs.resolve(entry.target, _read_link), entry.read_only, entry.memory)


def _take(step: rootfs.Step, root: str, home: Path, *, rootless: bool) -> None:
    target = Path(root + step.path)
    if isinstance(step, rootfs.Link):
        target.symlink_to(step.target)
    elif isinstance(step, rootfs.Folder):
        target.mkdir(exist_ok=True)
    elif isinstance(step, rootfs.Overlay):
        target.mkdir(exist_ok=True)
        _overlay(step, target, home, rootless=rootless)
    else:
        target.mkdir() if step.folder else target.touch()
        _bind(step.path, target)


def _bind(source: str, target: Path) -> None:
    with contextlib.suppress(OSError):  # what may not be shown, such as a folder closed to this user, stays empty
        mount(source, str(target), None, MS_BIND | MS_REC)
        make_read_only(str(target))


def _overlay(step: rootfs.Overlay, target: Path, home: Path, *, rootless: bool) -> None:
    upper, work = Path(f"{home}/upper{step.path}"), Path(f"{home}/work{step.path}")
    upper.mkdir(parents=True)
    work.mkdir(parents=True)
    shutil.copymode(step.path, upper)
    for missing in step.missing:
        _make(Path(f"{home}/upper{missing.path}"), folder=missing.folder)
    options = f"lowerdir={_escape(step.path)},upperdir={_escape(str(upper))},workdir={_escape(str(work))}"
    try:
        mount("overlay", str(target), "overlay", 0, options + (",userxattr" if rootless else ""))
    except OSError:
        _bind(step.path, target)  # some file systems cannot lie under an overlay; then the folder is read-only


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _make(path: Path, *, folder: bool) -> None:
    if folder:
        path.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _own_folders(root: str) -> None:
    Path(f"{root}/tmp").chmod(0o1777)  # noqa: S108 (in the new root)
    for name in _DEVICES:
        Path(f"{root}/dev/{name}").touch()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    for name, target in _DEVICE_LINKS.items():
        Path(f"{root}/dev/{name}").symlink_to(target)
    Path(f"{root}/dev/pts").mkdir()
    Path(f"{root}/dev/shm").mkdir()  # noqa: S108 (in the new root)


def _own_file_systems(root: str, hidden: Iterable[str]) -> None:
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620")
    try:
        mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV)
    except OSError:  # where the machine masks parts of /proc (Docker), the kernel refuses an ordinary user a new one
        mount("/proc", f"{root}/proc", None, MS_BIND | MS_REC)
    for path in hidden:
        if Path(root + path).is_dir():
            mount("tmpfs", root + path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4k")


def _mount_volumes(root: str, mounts: Sequence[Mount]) -> None:
    for entry in sorted(mounts, key=lambda entry: entry.target.count("/")):
        _make(Path(root + entry.target), folder=Path(entry.source).is_dir())
        mount(entry.source, root + entry.target, None, MS_BIND | MS_REC)
        if entry.read_only:
            make_read_only(root + entry.target)


def become_container(
    home: Path, start: StartContainer, mounts: Sequence[Mount], machine: Machine, take_streams: Callable[[], None]
) -> None:
    """Turn this child, already process 1 of a PID namespace and in the pod's network, into the container's process.

    `take_streams` is called inside the new root, where a terminal can be made. Returns only by raising OSError.
    """
    namespaces.unshare(namespaces.NEW_MOUNT)
    pivot_root(build_root(home, start, mounts, machine))
    take_streams()
    namespaces.unshare(namespaces.NEW_USER)
    namespaces.write_id_maps(f"{start.user} 0 1", f"{start.group} 0 1")
    os.setresgid(start.group, start.group, start.group)
    os.setresuid(start.user, start.user, start.user)
    set_limits(start.limits)
    execute(start.argv, start.environment, start.directory)


def become_plain_process(start: StartContainer) -> None:
    """Turn this child into a process without namespaces (isolation `none`) that does not outlive netd."""
    die_with_parent(signal.SIGKILL)
    set_limits(start.limits)
    execute(start.argv, start.environment, start.directory)


def become_visitor(process: int, *, namespaced: bool) -> None:
    """Join the namespaces of a container's process; the next child of this process runs inside.

    Raises OSError, for instance when the process has ended.
    """
    if not namespaced:
        return
    kinds = namespaces.NEW_MOUNT | namespaces.NEW_UTS | namespaces.NEW_IPC | namespaces.NEW_NETWORK
    descriptor = os.pidfd_open(process)
    namespaces.enter(descriptor, kinds | namespaces.NEW_PID | namespaces.NEW_USER)
    os.close(descriptor)


def execute(argv: Sequence[str], environment: Mapping[str, str], directory: str) -> None:
    """Replace this process by the program, without privileges and with ordinary signals. Raises OSError."""
    drop_privileges()
    os.umask(0o022)
    os.chdir(directory)
    for number in _ORDINARY_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    program = argv[0]
    try:
        os.execvpe(program, list(argv), dict(environment))  # noqa: S606 (starting what the user named is the job)
    except FileNotFoundError:
        place = "in $PATH" if "/" not in program else f"in {posixpath.normpath(directory)}"
        raise OSError(f"exec {program!r}: no such program {place}") from None
    except OSError as error:
        raise OSError(f"exec {program!r}: {error.strerror}") from error


def take_descriptors(descriptors: Sequence[int]) -> None:
    """Make three descriptors this process's stdin, stdout and stderr, in a session of its own."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number, inheritable=True)


def take_terminal(report: socket.socket) -> None:
    """Make a terminal this process's streams, in a session of its own, and send its controlling side to netd."""
    controlling, own = os.openpty()
    socket.send_fds(report, [b"\0"], [controlling])
    os.close(controlling)
    take_descriptors([own, own, own])
    os.close(own)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def set_limits(limits: Mapping[str, int]) -> None:
    """Set resource limits by name (`nofile`, `core`, ...), never above what this user may have."""
    for name, wanted in limits.items():
        kind = _LIMITS.get(name)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, hard))

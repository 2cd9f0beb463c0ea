"""The Linux calls that Python does not have: mounts, privileges of a process, descriptors.

Each function is one call and raises OSError that says what was asked. Numbers are from the kernel's uapi headers
(mount.h, prctl.h, capability.h). Namespaces are in `network.namespaces`. Next: `rootfs`, what a container sees.
"""

import array
import ctypes
import os
import socket

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19

_MNT_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, 155)
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522

_DESCRIPTOR = array.array("i")
_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system, or bind `source` with `MS_BIND`."""
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options))
    _check(result, f"mount {source} at {target}")


def make_read_only(target: str) -> None:
    """Make everything mounted at and below `target` read-only; what is mounted later is not affected."""
    attributes = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, _bytes(target), _AT_RECURSIVE,
        ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)),
    )  # fmt: skip
    _check(result, f"make {target} read-only")


def unmount(target: str) -> None:
    """Detach what is mounted at `target`; it goes when nobody uses it any more."""
    _check(_libc.umount2(_bytes(target), _MNT_DETACH), f"unmount {target}")


def pivot_root(root: str) -> None:
    """Make the mount point `root` this mount namespace's `/` and let go of the old one (pivot_root(2), NOTES)."""
    os.chdir(root)
    _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), f"pivot_root {root}")
    unmount(".")
    os.chdir("/")


def receive(stream: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """Receive bytes and up to `count` descriptors that no program started later inherits.

    `socket.recv_fds` would do, but Python 3.11 ignores the flags that it is given.
    """
    space = socket.CMSG_SPACE(count * _DESCRIPTOR.itemsize)
    chunk, control, _, _ = stream.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array(_DESCRIPTOR.typecode)
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % _DESCRIPTOR.itemsize])
    return chunk, list(descriptors)


def die_with_parent(signal: int) -> None:
    """Let the kernel send this process a signal when the thread that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def drop_privileges() -> None:
    """Give up all capabilities for good: none now, none to inherit, none by executing a set-user-ID program."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # the kernel has no capability of this number, nor of higher ones
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(header, nothing), "capset")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")

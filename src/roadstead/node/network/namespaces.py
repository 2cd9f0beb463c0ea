"""Namespaces by system call: Python has `os.unshare` and `os.setns` only since 3.12, and Roadstead starts at 3.11.

A network namespace is a file descriptor here: it lives as long as somebody holds it or runs in it. `setns` moves the
calling thread, so everything here belongs in a single-threaded process (netd) or a forked child.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW_MOUNT, NEW_UTS, NEW_IPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
NEW_USER, NEW_PID, NEW_NETWORK = 0x1000_0000, 0x2000_0000, 0x4000_0000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces of these kinds. Raises OSError."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def enter(descriptor: int, kind: int = NEW_NETWORK) -> None:
    """Move the calling thread into the namespace of a file descriptor (`setns`). Raises OSError."""
    _check(_libc.setns(descriptor, kind), f"setns({kind:#x})")


def _check(result: int, call: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")


def current_network() -> int:
    """Return a descriptor of the calling thread's network namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(network: int) -> Iterator[None]:
    """Run a block in another network namespace; sockets made there stay there when the thread comes back."""
    home = current_network()
    try:
        enter(network)
        yield
    finally:
        enter(home)
        os.close(home)


@contextmanager
def inside_new_network() -> Iterator[int]:
    """Run a block in a new network namespace and yield its descriptor, which the caller closes."""
    home = current_network()
    try:
        unshare(NEW_NETWORK)
        yield current_network()
    finally:
        enter(home)
        os.close(home)


def write_id_maps(uid_map: str, gid_map: str, process: str = "self") -> None:
    """Write the identity maps of a new user namespace, for instance `0 1000 1`: root inside is user 1000 outside.

    `setgroups` is denied first, as the kernel demands of writers without privileges (user_namespaces(7)).
    """
    root = Path("/proc") / process
    (root / "setgroups").write_text("deny")
    (root / "uid_map").write_text(uid_map)
    (root / "gid_map").write_text(gid_map)


def become_namespace_root(flags: int) -> None:
    """Enter new namespaces of these kinds as their root; an ordinary user gets a user namespace for it.

    Needs a single-threaded process. Raises OSError where user namespaces are forbidden.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _try_user_namespace()
        unshare(flags & ~NEW_USER)
        return
    unshare(flags | NEW_USER)
    write_id_maps(f"0 {user} 1", f"0 {group} 1")


def _try_user_namespace() -> None:
    """Make a user namespace in a child that ends at once: root needs none itself, but every pod gets one.

    Raises OSError where there can be none.
    """
    child = os.fork()
    if child == 0:
        try:
            unshare(NEW_USER)
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        os._exit(0)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, f"unshare: {os.strerror(number)}")

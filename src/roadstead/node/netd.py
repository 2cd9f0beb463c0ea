"""netd: the process that owns the node's namespaces and is the parent of every pod.

It is forked from the supervisor before anything else happens there, because only a process with a single thread may
enter a user namespace. It is process 1 of a PID namespace and ends when its control socket does, so that the kernel
ends every pod however the supervisor ended. Next: `netd_loop`, what it does all day.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from roadstead.node import container
from roadstead.node.netd_loop import Netd, words_of
from roadstead.node.netd_protocol import Ready, Unavailable, encode_frame
from roadstead.node.network import namespaces
from roadstead.node.network.links import NetworkSettings, NodeNetwork
from roadstead.node.syscalls import MS_NODEV, MS_NOSUID, MS_REC, MS_SLAVE, adopt_orphans, mount


def fork_netd(settings: NetworkSettings, folder: Path, *, isolated: bool = True) -> socket.socket:
    """Fork netd and return the control socket. Call it before any thread exists.

    `folder` is an existing folder of the node: netd mounts its own file system at `folder/netd` and logs to
    `folder/netd.log`. Its first report is `Ready` or `Unavailable`.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    (folder / "netd").mkdir(exist_ok=True)
    log = os.open(folder / "netd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _detach(there, log)
        _become_netd(there, settings, folder / "netd", isolated=isolated)
    os.close(log)
    there.close()
    if isolated:
        os.waitpid(pid, 0)  # only the parent of netd, which ends once its PID namespace has a first process
    return here


def _detach(control: socket.socket, log: int) -> None:
    """Leave the supervisor's session and close everything of it but the control socket."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.closerange(3, control.fileno())
    os.closerange(control.fileno() + 1, 65536)
    # Whatever these objects wrote to in the supervisor is closed now, and a traceback must not be the end of netd.
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _become_netd(control: socket.socket, settings: NetworkSettings, home: Path, *, isolated: bool) -> NoReturn:
    try:
        network = NodeNetwork(settings) if isolated else None
        machine = container.Machine((), rootless=os.geteuid() != 0)
        if network is not None:
            machine = _enter_namespaces(network, home, rootless=machine.rootless)
        else:
            adopt_orphans()
        netd = Netd(control, home, network)
        gc.freeze()
        netd.send(Ready(network.limitations if network is not None else []))
        netd.serve(machine)
    except BaseException as error:  # noqa: BLE001 (whatever it is, the supervisor must hear it and this process end)
        traceback.print_exc()
        control.setblocking(True)
        with contextlib.suppress(OSError):
            control.sendall(encode_frame(Unavailable(words_of(error))))
    os._exit(1)


def _enter_namespaces(network: NodeNetwork, home: Path, *, rootless: bool) -> container.Machine:
    """Become process 1 of the node's namespaces and prepare its network. Raises OSError that says what is lacking."""
    kinds = namespaces.NEW_NETWORK | namespaces.NEW_MOUNT | namespaces.NEW_PID | namespaces.NEW_UTS | namespaces.NEW_IPC
    if not rootless:
        os.setgroups([])
    namespaces.become_namespace_root(kinds | namespaces.NEW_USER)
    if os.fork() > 0:
        os._exit(0)
    mount("none", "/", None, MS_REC | MS_SLAVE)
    with contextlib.suppress(OSError):  # a masked /proc (Docker) cannot be had anew; the machine's own one works too
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    machine = container.Machine(container.mount_points(), rootless)
    mount("tmpfs", str(home), "tmpfs", MS_NOSUID | MS_NODEV, "mode=700")
    network.prepare()
    return machine

"""How pods run: the `Runtime` that the agent speaks to, with namespaces or without.

`NamespacedRuntime` passes everything to netd. `PlainRuntime` is for machines without user namespaces: the same netd
runs plain processes, each pod has an address 127.x.y.z, and what cannot be had (mounts at any path, policies, DNS) is
said in `limitations` and by `unmountable`. Next: `agent`.
"""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from roadstead.node.container_logs import ContainerLog
from roadstead.node.netd_client import NetdClient
from roadstead.node.netd_protocol import Execute, Mount, StartContainer, Transport
from roadstead.node.network.services import ServiceTable
from roadstead.node.policy.table import PolicyTable
from roadstead.node.sessions import ProcessSession, RunningContainer, close_ends, open_streams


class Runtime(Protocol):
    """What the agent asks of either isolation. Every coroutine raises NetdError when it cannot be done."""

    isolated: bool
    limitations: Sequence[str]
    pod_range: ipaddress.IPv4Network

    async def create_sandbox(self, key: str, hostname: str, address: str, files: Mapping[str, str]) -> None:
        """Make what a pod's containers share; `files` are /etc/hosts and the like."""

    async def remove_sandbox(self, key: str) -> None:
        """Kill what still runs there and take it away."""

    async def start_container(
        self, request: StartContainer, log: ContainerLog, *, stdin: bool = False, terminal: bool = False
    ) -> RunningContainer:
        """Start a container's process; the request's id is set here."""

    def unmountable(self, mounts: Sequence[Mount]) -> list[str]:
        """Return the paths at which this runtime cannot provide a volume."""

    async def signal(self, container: RunningContainer, number: int) -> None:
        """Send the container's first process a signal."""

    async def execute(
        self,
        container: RunningContainer,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        *,
        stdin: bool = False,
        terminal: bool = False,
    ) -> ProcessSession:
        """Start a command in a container."""

    async def connect(self, source: str, host: str, port: int) -> socket.socket:
        """Return a socket connected from `node`, `edge` or a pod's key. Raises OSError too."""

    async def listen(self, source: str, host: str, port: int, transport: Transport = "tcp") -> socket.socket:
        """Return a bound socket in the network of `node`, `edge` or a pod."""

    async def apply_services(self, table: ServiceTable) -> None:
        """Serve exactly these Services."""

    async def apply_policies(self, table: PolicyTable) -> None:
        """Enforce exactly these policies."""


class _NetdRuntime:
    """What both have in common: netd's processes with streams of ours."""

    isolated: bool
    pod_range: ipaddress.IPv4Network
    limitations: Sequence[str]

    def __init__(self, netd: NetdClient, limitations: Sequence[str]) -> None:
        self.netd, self.limitations = netd, tuple(limitations)

    async def create_sandbox(self, key: str, hostname: str, address: str, files: Mapping[str, str]) -> None:
        await self.netd.create_sandbox(key, hostname, address, dict(files))

    async def remove_sandbox(self, key: str) -> None:
        await self.netd.remove_sandbox(key)

    async def start_container(
        self, request: StartContainer, log: ContainerLog, *, stdin: bool = False, terminal: bool = False
    ) -> RunningContainer:
        ends, theirs = open_streams(stdin=stdin, terminal=terminal)
        try:
            process = await self.netd.start_container(request, theirs)
        except BaseException:
            close_ends(ends)
            raise
        return RunningContainer(process, ends, log)

    async def signal(self, container: RunningContainer, number: int) -> None:
        await self.netd.signal(container.id, number)

    async def execute(
        self,
        container: RunningContainer,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        *,
        stdin: bool = False,
        terminal: bool = False,
    ) -> ProcessSession:
        ends, theirs = open_streams(stdin=stdin, terminal=terminal)
        request = Execute(0, container.id, list(argv), dict(environment), directory, terminal)
        try:
            process = await self.netd.execute(request, theirs)
        except BaseException:
            close_ends(ends)
            raise

        async def kill() -> None:
            await self.netd.signal(process.id, signal.SIGKILL)

        return ProcessSession(process, ends, kill)

    async def connect(self, source: str, host: str, port: int) -> socket.socket:
        return await self.netd.connect(source, host, port)

    async def listen(self, source: str, host: str, port: int, transport: Transport = "tcp") -> socket.socket:
        return await self.netd.listen(source, host, port, transport)


class NamespacedRuntime(_NetdRuntime):
    """Pods in namespaces of their own."""

    isolated = True

    def __init__(self, netd: NetdClient, limitations: Sequence[str], pod_range: str) -> None:
        super().__init__(netd, limitations)
        self.pod_range = ipaddress.IPv4Network(pod_range)

    def unmountable(self, mounts: Sequence[Mount]) -> list[str]:
        """Return nothing: a mount namespace can have a volume at any path."""
        return []

    async def apply_services(self, table: ServiceTable) -> None:
        """Let the kernel serve exactly these Services."""
        await self.netd.apply_services(table)

    async def apply_policies(self, table: PolicyTable) -> None:
        """Let the kernel enforce exactly these policies."""
        await self.netd.apply_policies(table)


class PlainRuntime(_NetdRuntime):
    """Pods as plain processes of this machine.

    A volume can be had at a path only by a link there, so the path must not exist and its folder must be writable; the
    links of a pod go with its sandbox.
    """

    isolated = False
    pod_range = ipaddress.IPv4Network("127.2.0.0/16")

    def __init__(self, netd: NetdClient, why: str) -> None:
        super().__init__(netd, [why])
        self._links: dict[str, list[Path]] = {}

    async def start_container(
        self, request: StartContainer, log: ContainerLog, *, stdin: bool = False, terminal: bool = False
    ) -> RunningContainer:
        """Start a process; its volumes become links where that is possible."""
        for mount in request.mounts:
            self._link(request.key, mount)
        plain = msgspec.structs.replace(request, mounts=[], user=0, group=0)
        return await super().start_container(plain, log, stdin=stdin, terminal=terminal)

    def unmountable(self, mounts: Sequence[Mount]) -> list[str]:
        """Return the paths that exist already, or where this user may not make a link."""
        return [mount.target for mount in mounts if not _linkable(mount)]

    def _link(self, key: str, mount: Mount) -> None:
        target = Path(mount.target)
        if not _linkable(mount) or target.is_symlink():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(mount.source)
        self._links.setdefault(key, []).append(target)

    async def remove_sandbox(self, key: str) -> None:
        """Kill what runs and remove the pod's links."""
        await super().remove_sandbox(key)
        for link in self._links.pop(key, ()):
            await asyncio.to_thread(link.unlink, missing_ok=True)

    async def apply_services(self, table: ServiceTable) -> None:
        """Do nothing: there are no virtual addresses without a network namespace."""

    async def apply_policies(self, table: PolicyTable) -> None:
        """Do nothing: `limitations` says that policies are not enforced."""


def _linkable(mount: Mount) -> bool:
    target = Path(mount.target)
    if mount.memory:
        return False
    if target.is_symlink():
        return str(target.readlink()) == mount.source
    if target.exists():
        return str(target) == mount.source
    nearest = next(parent for parent in target.parents if parent.exists())
    return nearest.is_dir() and _may_write(nearest)


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)

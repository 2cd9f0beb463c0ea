"""How pods run: the `Runtime` that the agent speaks to, with namespaces or without.

`NamespacedRuntime` passes everything to netd. `PlainRuntime` is for machines without user namespaces: the same netd
runs plain processes, each pod has an address 127.x.y.z, and what cannot be had (mounts at any path, policies, DNS) is
said in `limitations` and by `unmountable`. Next: `agent`.
"""

import ipaddress
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from roadstead.node.container_logs import ContainerLog
from roadstead.node.netd_client import NetdClient, Process
from roadstead.node.netd_protocol import Execute, StartContainer, Transport
from roadstead.node.network.services import ServiceTable
from roadstead.node.policy.table import PolicyChange, PolicyTable
from roadstead.node.sessions import Ends, ProcessSession, RunningContainer, close_ends, open_streams, terminal_ends
from roadstead.node.usage import Usage

SERVICE_ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


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

    def unmountable(self, request: StartContainer) -> list[str]:
        """Return the paths at which this runtime cannot provide a volume."""

    def fitted(self, request: StartContainer) -> StartContainer:
        """Return what to start instead, where paths and names mean something else than in a pod of its own."""

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

    async def measure(self) -> Mapping[int, Usage]:
        """Return what each container uses, by its id."""

    async def apply_services(self, table: ServiceTable) -> None:
        """Serve exactly these Services."""

    async def apply_policies(self, table: PolicyTable) -> None:
        """Enforce exactly these policies."""

    async def change_policies(self, change: PolicyChange) -> None:
        """Make this difference to the policies that are enforced."""


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
        wanted = msgspec.structs.replace(request, terminal=terminal)
        process, ends = await _with_streams(self.netd.start_container, wanted, stdin=stdin)
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
        request = Execute(0, container.id, list(argv), dict(environment), directory, terminal)
        process, ends = await _with_streams(self.netd.execute, request, stdin=stdin)

        async def kill() -> None:
            await self.netd.signal(process.id, signal.SIGKILL)

        return ProcessSession(process, ends, kill)

    async def connect(self, source: str, host: str, port: int) -> socket.socket:
        return await self.netd.connect(source, host, port)

    async def listen(self, source: str, host: str, port: int, transport: Transport = "tcp") -> socket.socket:
        return await self.netd.listen(source, host, port, transport)

    async def measure(self) -> Mapping[int, Usage]:
        return await self.netd.measure()


_Request = TypeVar("_Request", StartContainer, Execute)


async def _with_streams(
    start: Callable[[_Request, Sequence[int]], Awaitable[Process]], request: _Request, *, stdin: bool
) -> tuple[Process, Ends]:
    """Start a process with pipes of ours, or with a terminal that is made where it runs."""
    if request.terminal:
        process = await start(request, ())
        return process, terminal_ends(process.terminal, stdin=stdin)
    ends, theirs = open_streams(stdin=stdin)
    try:
        return await start(request, theirs), ends
    except BaseException:
        close_ends(ends)
        raise


class NamespacedRuntime(_NetdRuntime):
    """Pods in namespaces of their own."""

    isolated = True

    def __init__(self, netd: NetdClient, limitations: Sequence[str], pod_range: str) -> None:
        super().__init__(netd, limitations)
        self.pod_range = ipaddress.IPv4Network(pod_range)

    def unmountable(self, request: StartContainer) -> list[str]:
        """Return nothing: a mount namespace can have a volume at any path."""
        return []

    def fitted(self, request: StartContainer) -> StartContainer:
        """Return the request as it is."""
        return request

    async def apply_services(self, table: ServiceTable) -> None:
        """Let the kernel serve exactly these Services."""
        await self.netd.apply_services(table)

    async def apply_policies(self, table: PolicyTable) -> None:
        """Let the kernel enforce exactly these policies."""
        await self.netd.apply_policies(table)

    async def change_policies(self, change: PolicyChange) -> None:
        """Make this difference to the policies that the kernel enforces."""
        await self.netd.change_policies(change)


class PlainRuntime(_NetdRuntime):
    """Pods as plain processes of this machine.

    A volume can be had at a path only by a link there, so the path must not exist and its folder must be writable; the
    links of a pod go with its sandbox.
    """

    isolated = False
    pod_range = ipaddress.IPv4Network("127.2.0.0/16")

    def __init__(self, netd: NetdClient, why: str) -> None:
        super().__init__(netd, [why])

    def fitted(self, request: StartContainer) -> StartContainer:
        """Return a request for a process that is told where its volumes really are."""
        return relocated(request)

    def unmountable(self, request: StartContainer) -> list[str]:
        """Return the mount paths that the container is not told by an argument or a variable: it will not find them."""
        told = [*request.argv, *request.environment.values()]
        # Every pod has the service account's, few read it: it is no news.
        known = (SERVICE_ACCOUNT_PATH,)
        elsewhere = [mount for mount in request.mounts if mount.target not in known and mount.source != mount.target]
        return [mount.target for mount in elsewhere if not any(_path(mount.target).search(text) for text in told)]

    async def apply_services(self, table: ServiceTable) -> None:
        """Do nothing: there are no virtual addresses without a network namespace."""

    async def apply_policies(self, table: PolicyTable) -> None:
        """Do nothing: `limitations` says that policies are not enforced."""

    async def change_policies(self, change: PolicyChange) -> None:
        """Do nothing, as `apply_policies`."""


def relocated(request: StartContainer) -> StartContainer:
    """Return the request for a process without mounts: paths below a volume's mount path in its arguments, variables
    and directory become paths below the volume itself. Nothing is written on the machine for it.
    """
    ordered = sorted(request.mounts, key=lambda mount: -len(mount.target))

    def there(text: str) -> str:
        for mount in ordered:
            text = _path(mount.target).sub(partial(_in_place, mount.source), text)
        return text

    return msgspec.structs.replace(
        request,
        argv=[there(argument) for argument in request.argv],
        environment={name: there(value) for name, value in request.environment.items()},
        directory=there(request.directory),
        mounts=[],
        user=0,
        group=0,
    )


def service_names(request: StartContainer, domain: str) -> set[str]:
    """Return the Services, as `NAME.NAMESPACE`, that arguments and variables name by their host names."""
    told = [*request.argv, *request.environment.values()]
    return {f"{found[1]}.{found[2]}" for text in told for found in _service_name(domain).finditer(text)}


def with_addresses(request: StartContainer, addresses: Mapping[str, str], domain: str) -> StartContainer:
    """Return the request for a process without the cluster's DNS: `NAME.NAMESPACE.svc`, with or without the cluster's
    domain, becomes the address of that Service where it stands as a whole host name. `addresses` are by
    `NAME.NAMESPACE`; other names stay.
    """

    def there(text: str) -> str:
        return _service_name(domain).sub(lambda found: addresses.get(f"{found[1]}.{found[2]}", found[0]), text)

    return msgspec.structs.replace(
        request,
        argv=[there(argument) for argument in request.argv],
        environment={name: there(value) for name, value in request.environment.items()},
    )


def _service_name(domain: str) -> re.Pattern[str]:
    """Match a Service's host name; `POD.NAME.NAMESPACE.svc` is a pod's, and longer names are somebody else's."""
    return re.compile(rf"(?<![\w.-])([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.{re.escape(domain)})?\.?(?![\w.-])")


def _in_place(source: str, _: re.Match[str]) -> str:
    return source


def _path(target: str) -> re.Pattern[str]:
    """Match a mount path where it stands as a whole path or the beginning of one."""
    return re.compile(rf"(?<![\w./-]){re.escape(target.rstrip('/'))}(?![\w.-])")

"""The node as one thing to start and stop: runtime, agent, network feeder, DNS, hosts, heartbeat.

The supervisor forks netd first (`netd.fork_netd`), then creates a `Node` in its event loop.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from roadstead.api.errors import AlreadyExists, ApiError, NotFound
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, key_of, metadata_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient, EventRecorder, Informers, own_informers
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.addresses import AddressPool
from roadstead.node.agent import Agent, token_requester
from roadstead.node.container_start import ContainerStart
from roadstead.node.dns_pod import DnsPod
from roadstead.node.environment import Lookup
from roadstead.node.feeder import NetworkFeeder
from roadstead.node.images import installation
from roadstead.node.kubelet import NodeKubelet
from roadstead.node.metering import Meter
from roadstead.node.netd_client import NetdClient, NetdError
from roadstead.node.netd_protocol import Transport
from roadstead.node.network.dns_records import Records
from roadstead.node.network.links import NetworkSettings
from roadstead.node.node_object import LEASE_NAMESPACE, lease, node_object, node_status
from roadstead.node.outside_hosts import OutsideHosts
from roadstead.node.pod_spec import Names
from roadstead.node.pod_volumes import PodVolumes
from roadstead.node.pod_worker import Surroundings
from roadstead.node.project import Project, ProjectError, read_project
from roadstead.node.runtime import NamespacedRuntime, PlainRuntime, Runtime
from roadstead.node.start_queue import StartGate
from roadstead.node.volume_folders import VolumeFolders

_log = structlog.get_logger(__name__)
_HEARTBEAT_SECONDS = 10.0
_KINDS = (
    "Pod", "Namespace", "NetworkPolicy", "Service", "EndpointSlice", "ConfigMap", "Secret",
    "PersistentVolumeClaim", "PersistentVolume",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node is told.

    `folder` takes volumes and logs. `unenforced` says why there are no namespaces; empty: there are. `limitations` are
    netd's. `hidden` are folders of this machine that no container may see (the cluster's own state).
    """

    name: str
    folder: Path
    network: NetworkSettings = field(default_factory=NetworkSettings)
    unenforced: str = ""
    limitations: tuple[str, ...] = ()
    dns_address: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    project: Project = field(default_factory=Project)
    hidden: tuple[Path, ...] = ()
    patience: float = 10.0


class Node:
    """The machine as a node of the cluster. Create it in the event loop, with netd's control socket."""

    def __init__(
        self, client: ApiClient, config: NodeConfig, control: socket.socket, *, informers: Informers | None = None
    ) -> None:
        self._client, self._config = client, config
        self.name = config.name
        inform = informers or own_informers(client)
        self.netd = NetdClient(control)
        self.runtime: Runtime = (
            PlainRuntime(self.netd, config.unenforced)
            if config.unenforced
            else NamespacedRuntime(self.netd, config.limitations, config.network.pod_range)
        )
        self._address = config.network.node_address if self.runtime.isolated else "127.0.0.1"
        self._informers = {kind: inform(resource(kind)) for kind in _KINDS}
        self._pool = AddressPool(self.runtime.pod_range)
        self._owners: dict[str, ObjectKey] = {}
        self._projects = ProjectFile(config.project)
        self._events = EventRecorder(client, component="kubelet", instance=config.name)
        self.feeder = NetworkFeeder(self.runtime, self._informers, config.cluster_domain, self._warn)
        self.dns = DnsPod(client, self.runtime, config.name, self._address)
        self._here = installation()
        hidden = tuple(str(path) for path in config.hidden)
        self.hosts = OutsideHosts(self.runtime, self._here, config.folder / "hosts", hidden)
        self.agent = Agent(config.name, self._informers, self._surroundings(hidden))
        self.meter = Meter(self.runtime, config.name, self.agent.running)
        self.kubelet = NodeKubelet(self.agent, self.runtime, self, self.meter)
        """What the API server asks: logs, exec, attach, dial."""
        self._tasks: list[asyncio.Task[Any]] = []

    def _surroundings(self, hidden: tuple[str, ...]) -> Surroundings:
        config = self._config
        starter = ContainerStart(
            self.runtime, self._projects.current, self._here, self._lookup,
            lambda: self._informers["Service"].objects.values(), hidden, config.cluster_domain,
        )  # fmt: skip
        request_token = token_requester(self._client)
        return Surroundings(
            client=self._client,
            runtime=self.runtime,
            events=self._events,
            starter=starter,
            names=Names(config.cluster_domain, config.dns_address),
            machine_dns=_machine_dns(),
            host_address=self._address,
            volumes=lambda pod: PodVolumes(self.of(pod), config.folder / "claims", request_token),
            folder=self.of,
            lookup=self._lookup,
            allocate=self._pool.allocate,
            release=self._release_address,
            admit=self._admit,
            gate=StartGate(),
        )

    async def run(self) -> None:
        """Be a node until `stop`, or until netd has ended: then every pod has, and it raises NetdError."""
        (self._config.folder / "hosts").mkdir(parents=True, exist_ok=True)
        for kind, informer in self._informers.items():
            self._background(informer.run(), f"{kind} informer")
        await self._register()
        await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))
        self._background(self.feeder.run(), "network feeder")
        await self._start_dns()
        self._start_hosts()
        self.agent.start()
        VolumeFolders(self._client, self._config.folder / "claims").follow(self._informers["PersistentVolume"])
        self._background(self.agent.refresh(), "volumes")
        self._background(self._heartbeat(), "heartbeat")
        self._background(self.meter.run(), "meter")
        await asyncio.shield(self.netd.gone)
        raise NetdError("netd has ended, and every pod with it; see netd.log in the cluster's folder")

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(spawn(work, name=name))

    def _start_hosts(self) -> None:
        if self.runtime.isolated:
            self.hosts.start(self._projects.current().hosts.values())

    async def stop(self) -> None:
        """End pods gracefully, then everything; pods stay in the API and are started again next time."""
        await self.hosts.close()
        await self.agent.stop(self._config.patience)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._events.flush()
        await self.dns.close()
        await cancel_all(self._tasks)
        self.netd.close()

    # What pods and the supervisor ask

    def use_project(self, project: Project) -> None:
        """Resolve images by another project file from now on and start its hosts; what runs stays as it is."""
        self._projects.use(project)
        self._start_hosts()
        self.agent.retry_images()

    def of(self, pod: ReadOnlyObject) -> Path:
        """Return the folder of a pod's volumes and logs."""
        return self._config.folder / str(metadata_of(pod).get("uid") or "unknown")

    def pod(self, namespace: str, name: str) -> Object | None:
        """Return a pod of this node, running or ended, or None."""
        found = self._informers["Pod"].objects.get(ObjectKey(namespace, name))
        ours = found is not None and (found.get("spec") or {}).get("nodeName") == self._config.name
        return found if ours else None

    async def listen(self, source: str, host: str, port: int, transport: Transport = "tcp") -> socket.socket:
        """Return a bound socket in the network of `node` or `edge`: for the API server and its like."""
        return await self.runtime.listen(source, host, port, transport)

    def _warn(self, obj: Object, reason: str, message: str) -> None:
        self._events.record(obj, "Warning", reason, message)

    def _lookup(self, namespace: str) -> Lookup:
        def find(kind: str, name: str) -> ReadOnlyObject | None:
            place = ObjectKey(namespace if resource(kind).namespaced else "", name)
            found = self._informers[kind].objects.get(place)
            return None if found is None else {**found, "kind": kind}

        return find

    async def _admit(self, pod: ReadOnlyObject, address: str) -> None:
        self._owners[address] = key_of(pod)
        await self.feeder.admit(pod, address)

    def _release_address(self, address: str) -> None:
        self._pool.release(address)
        if (owner := self._owners.pop(address, None)) is not None:
            self.feeder.dismiss(owner, address)

    # The Node object

    async def _register(self) -> None:
        node = node_object(self._config.name, str(self.runtime.pod_range))
        try:
            stored = await self._client.create(resource("Node"), node)
        except AlreadyExists:
            stored = await self._client.get(resource("Node"), self._config.name)
        await self._write_status(stored)
        if not self.runtime.isolated:
            self._events.record(stored, "Warning", "PoliciesNotEnforced", f"No namespaces: {self._config.unenforced}")

    async def _write_status(self, node: Object) -> None:
        status = node_status(
            node, self._address,
            isolated=self.runtime.isolated, limitations=self.runtime.limitations, now=time.time(),
        )  # fmt: skip
        await self._client.patch(resource("Node"), self._config.name, "", {"status": status}, subresource="status")

    async def _heartbeat(self) -> None:
        while True:
            try:
                await self._renew_lease()
            except ApiError as error:
                _log.warning("heartbeat failed", error=error.message)
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _renew_lease(self) -> None:
        wanted = lease(self._config.name, time.time())
        try:
            await self._client.patch(resource("Lease"), self._config.name, LEASE_NAMESPACE, {"spec": wanted["spec"]})
        except NotFound:
            await self._client.create(resource("Lease"), wanted)

    async def _start_dns(self) -> None:
        if not self.runtime.isolated:
            return

        def take(records: Records) -> None:
            self.dns.server.records = records

        self.feeder.on_records = take
        try:
            await self.dns.start(self._pool.allocate(), self._config.dns_address)
        except (NetdError, ApiError, OSError) as error:
            _log.error("the cluster's DNS does not run", error=str(error))


class ProjectFile:
    """The project file as it is now: read again when it has changed, the last good one while it is wrong."""

    def __init__(self, project: Project) -> None:
        self.use(project)

    def use(self, project: Project) -> None:
        """Follow another file from now on."""
        self._project, self._seen = project, _modified(project.file)

    def current(self) -> Project:
        """Return the project."""
        file = self._project.file
        modified = _modified(file)
        if file is not None and modified and modified != self._seen:
            self._seen = modified
            try:
                self._project = read_project(file)
            except ProjectError as error:
                _log.warning("project file not usable, the last good one stays in force", error=str(error))
        return self._project


def _modified(file: Path | None) -> float:
    try:
        return file.stat().st_mtime if file is not None else 0.0
    except OSError:
        return 0.0


def _machine_dns() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""

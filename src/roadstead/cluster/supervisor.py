"""The process that runs a cluster: starts all parts in one event loop, and stops them in order.

The order of the start: the API server, then what it needs to hold, then everything that is a client of it, all at
once. The order of the end is the reverse, so that pods end gracefully while the API still takes their last status.
"""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog

from roadstead.api.resources import resource
from roadstead.apiserver.calls import User
from roadstead.apiserver.server import ApiServer, ApiServerConfig
from roadstead.client import ApiClient, Credentials, SharedInformers
from roadstead.cluster import bootstrap
from roadstead.cluster import configuration as settings
from roadstead.cluster.access import ADMINISTRATORS, access_to
from roadstead.cluster.children import Children
from roadstead.cluster.configuration import ClusterConfiguration
from roadstead.cluster.layout import Layout
from roadstead.cluster.lifecycle import Report, write_report
from roadstead.controllers import ClusterFacts, run_controllers
from roadstead.gateway.controller import GatewayConfig, run_gateway
from roadstead.gateway.infra import InfraSettings
from roadstead.lib import garbage, tasks
from roadstead.lib.logs import log_for_people
from roadstead.node import Node, NodeConfig
from roadstead.node.former_life import report_ended
from roadstead.node.netd_client import NetdError
from roadstead.node.network.loadbalancer import Place
from roadstead.node.network.loadbalancer_controller import LoadBalancerController
from roadstead.node.network.relay_client import RelayClient
from roadstead.node.project import Project, ProjectError, read_project

API_PORT = 6443
PLAIN_SERVICE_RANGE = "127.96.0.0/16"
_log = structlog.get_logger(__name__)


def supervise(
    children: Children, configuration: ClusterConfiguration, layout: Layout, *, report: int, lifeline: int | None
) -> int:
    """Run the cluster until SIGTERM, SIGINT or the end of the lifeline; return the process' exit code."""
    log_for_people()
    supervisor = Supervisor(children, configuration, layout)
    return asyncio.run(_supervise(supervisor, report, lifeline))


# Seconds before a part that failed is run again: as often as a mistake that passes needs, and not a busy loop.
_RERUN_FIRST, _RERUN_LAST = 0.5, 30.0


async def _supervise(supervisor: "Supervisor", report: int, lifeline: int | None) -> int:
    stop = _stop_signals(lifeline)
    supervisor.on_end = stop.set
    try:
        await supervisor.start(lambda stage: write_report(report, Report(stage=stage)))
    except Exception as error:  # noqa: BLE001 (whatever it is, the command that waits must hear it)
        _log.exception("the cluster does not start")
        write_report(report, Report(error=f"the cluster does not start: {error}"))
        await supervisor.stop()
        return 1
    garbage.resume()
    for warning in supervisor.warnings:
        write_report(report, Report(warning=warning))
    write_report(report, Report(ready=True))
    os.close(report)
    await stop.wait()
    await supervisor.stop()
    return 1 if supervisor.failed else 0


def _stop_signals(lifeline: int | None) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline is not None:
        loop.add_reader(lifeline, _lifeline_ended, loop, lifeline, stop)
    return stop


def _lifeline_ended(loop: asyncio.AbstractEventLoop, lifeline: int, stop: asyncio.Event) -> None:
    # Nobody writes to it: that it becomes readable means that its far end is gone.
    loop.remove_reader(lifeline)
    stop.set()


class Supervisor:
    """All parts of one cluster."""

    def __init__(self, children: Children, configuration: ClusterConfiguration, layout: Layout) -> None:
        self._children, self._layout = children, layout
        self._configuration = configuration
        if not children.isolated:
            # Services are then loopback addresses, at which the relay stands in for them.
            self._configuration = msgspec.structs.replace(configuration, service_cidr=PLAIN_SERVICE_RANGE)
        self.warnings: list[str] = []
        self.failed = False
        self.on_end: Callable[[], None] = lambda: None
        """Called when the cluster cannot go on: its node is gone, and every pod with it."""
        self._access = access_to(layout)
        self._api: ApiServer | None = None
        self._node: Node | None = None
        self._informers: SharedInformers | None = None
        self._clients: list[ApiClient] = []
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self, on_stage: Callable[[str], None]) -> None:
        """Start everything and return when the API answers and the node has registered."""
        on_stage("Starting the API server")
        listening = _listen(self._configuration)
        server = "https://{}:{}".format(*listening.getsockname()[:2])
        self._informers = informers = SharedInformers(self._client("informers"))
        self._node = node = Node(self._client("node"), self._node_config(), self._children.netd, informers=informers)
        self._api = await self._start_api(listening, node)
        on_stage("Starting controllers, gateway and node")
        client = self._client("supervisor")
        for obj in bootstrap.OBJECTS:
            await client.apply(resource(obj["kind"]), obj, field_manager="roadstead")
        await report_ended(client, node.name)
        self._tasks.append(tasks.spawn(self._be_a_node(node), name="node"))
        self._run_clients(node, informers)
        self._access.write_kubeconfig(self._configuration, server, self._layout.kubeconfig)
        self._warn()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_project)

    async def stop(self) -> None:
        """Stop in the reverse order; pods get their grace period while the API still answers."""
        if self._node is not None and self._api is not None:
            await self._node.stop()
        await tasks.cancel_all(self._tasks)
        if self._informers is not None:
            await self._informers.aclose()
        for client in self._clients:
            await client.aclose()
        if self._api is not None:
            await self._api.stop()

    async def _start_api(self, listening: socket.socket, node: Node) -> ApiServer:
        address = self._children.settings.node_address
        sockets, endpoint = [listening], listening.getsockname()[:2]
        if self._children.isolated:
            sockets.append(await node.listen("node", address, API_PORT))
            endpoint = (address, API_PORT)
        service_address = str(ipaddress.IPv4Network(self._configuration.service_cidr)[1])
        files = self._access.server_files([self._configuration.api_address, address, service_address])
        config = ApiServerConfig(
            self._layout.root, files.certificate, files.key, files.authority,
            service_cidr=self._configuration.service_cidr, endpoint=endpoint, mount_tokens=self._children.isolated,
        )  # fmt: skip
        api = ApiServer(config, sockets=sockets, kubelet=node.kubelet)
        await api.start()
        if api.damage:
            self.warnings.append(api.damage)
        return api

    def _run_clients(self, node: Node, informers: SharedInformers) -> None:
        children, socket_path = self._children, self._layout.xds / "ads.sock"
        facts = ClusterFacts(ca_pem=self._access.authority_pem.decode())
        infra = InfraSettings(str(socket_path), bind_pod_address=not children.isolated)
        lend = partial(node.netd.lend, "edge") if children.isolated else None
        relay = RelayClient(children.relay, children.loan, lend)
        mappings = self._configuration.port_mappings
        balancer = LoadBalancerController(
            self._client("relay"), relay, cluster=self._configuration.name, isolated=children.isolated,
            node_ports={each.container_port: Place(each.listen_address, each.host_port) for each in mappings},
            informers=informers,
        )  # fmt: skip
        config, controlling, routing = (
            GatewayConfig(socket_path, infra), self._client("controllers"), self._client("gateway"),
        )  # fmt: skip
        self._keep("load balancer", balancer.run)
        self._keep("gateway", lambda: run_gateway(routing, config, informers=informers))
        self._keep("controllers", lambda: run_controllers(controlling, cluster=facts, informers=informers))

    def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(tasks.spawn(_run_again(name, work), name=name))

    async def _be_a_node(self, node: Node) -> None:
        try:
            await node.run()
        except NetdError as error:
            _log.error("the cluster ends", reason=str(error))
            self.failed = True
            self.on_end()

    def _client(self, name: str) -> ApiClient:
        """Return a client for one of our own parts: an administrator by its own name, in this process."""
        user = User(f"system:{name}", (ADMINISTRATORS,))
        client = ApiClient(
            "http://kubernetes", Credentials(), user_agent=f"roadstead-{name}", dial=lambda: self._dial(user)
        )
        self._clients.append(client)
        return client

    async def _dial(self, user: User) -> socket.socket:
        if self._api is None:
            raise ConnectionRefusedError("the API server has not started")
        return await self._api.connect(user)

    def _node_config(self) -> NodeConfig:
        return NodeConfig(
            name=f"{self._configuration.name}-node",
            folder=self._layout.pods,
            network=self._children.settings,
            unenforced=self._children.unenforced,
            limitations=self._children.limitations,
            dns_address=str(ipaddress.IPv4Network(self._configuration.service_cidr)[10]),
            project=self._project(),
            hidden=(self._layout.root,),
        )

    def _project(self) -> Project:
        file = self._configuration.project
        try:
            return read_project(Path(file)) if file else Project()
        except ProjectError as error:
            self.warnings.append(str(error))
            return Project()

    def _reload_project(self) -> None:
        self._configuration = settings.read(self._layout.configuration)
        if self._node is not None:
            self._node.use_project(self._project())

    def _warn(self) -> None:
        if not self._children.isolated:
            self.warnings.append(
                "pods share this machine's network and NetworkPolicies are not enforced: " + self._children.unenforced
            )
        self.warnings += self._children.limitations


async def _run_again(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a part of the cluster; a failure of it is logged, and it is run again."""
    pause = _RERUN_FIRST
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 (whatever it is: one part's failure must not be the end of that part)
            _log.exception("a part of the cluster failed and is run again", part=name, seconds=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _RERUN_LAST)


def _listen(configuration: ClusterConfiguration) -> socket.socket:
    """Bind the API's port on the host. Raises OSError that names it and the remedy."""
    try:
        return socket.create_server((configuration.api_address, configuration.api_port))
    except OSError as error:
        raise OSError(
            error.errno,
            f"the API server cannot listen on {configuration.api_address}:{configuration.api_port} ({error.strerror}); "
            "choose another apiServerPort, or 0 for any free one",
        ) from error

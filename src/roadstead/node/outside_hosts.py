"""Machines outside the cluster, from `[hosts.…]` of the project file: each a network namespace with a process in it.

They exist to try rules on addresses (`ipBlock`): to the cluster's policies they are the outside. A process that ends is
started again, later and later.
"""

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path

import structlog

from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.container_logs import ContainerLog
from roadstead.node.images import Installation, search_path
from roadstead.node.netd_client import NetdError
from roadstead.node.netd_protocol import StartContainer
from roadstead.node.project import Host
from roadstead.node.runtime import Runtime
from roadstead.node.sessions import RunningContainer

_log = structlog.get_logger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class OutsideHosts:
    """Runs the hosts of a project; their logs are in `folder/NAME.log`."""

    def __init__(self, runtime: Runtime, here: Installation, folder: Path, hidden: tuple[str, ...]) -> None:
        self._runtime, self._here, self._folder, self._hidden = runtime, here, folder, hidden
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, RunningContainer] = {}

    def start(self, hosts: Iterable[Host]) -> None:
        """Start those that do not run yet; one that cannot be started is logged and tried again."""
        for host in hosts:
            if host.name not in self._tasks:
                self._tasks[host.name] = spawn(self._run(host), name=f"host {host.name}")

    async def _run(self, host: Host) -> None:
        key, pause = f"host/{host.name}", _FIRST_PAUSE
        files = {
            "/etc/hosts": f"127.0.0.1\tlocalhost\n{host.address}\t{host.name}\n",
            "/etc/hostname": f"{host.name}\n",
        }
        while True:
            try:
                await self._runtime.create_sandbox(key, host.name, host.address, files)
                while True:
                    running = await self._runtime.start_container(self._request(key, host), self._log_of(host))
                    self._running[host.name] = running
                    ended = await asyncio.shield(running.ended)
                    _log.warning("host ended", host=host.name, code=ended.code, log=str(running.log.path))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            except NetdError as error:
                _log.error("host not started", host=host.name, error=str(error))
                await self._runtime.remove_sandbox(key)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _log_of(self, host: Host) -> ContainerLog:
        return ContainerLog(self._folder / f"{host.name}.log")

    def _request(self, key: str, host: Host) -> StartContainer:
        python = self._here.python
        command = [str(python) if host.command[0] in ("python", "python3") else host.command[0], *host.command[1:]]
        environment = {"PATH": search_path(python), "PYTHONUNBUFFERED": "1", **host.environment}
        return StartContainer(
            0, key, command, environment,
            directory=str(host.directory),
            visible=[*self._here.folders, str(host.directory)],
            hidden=list(self._hidden),
        )  # fmt: skip

    async def close(self) -> None:
        """Stop starting them again and ask those that run to end."""
        await cancel_all(self._tasks.values())
        for running in self._running.values():
            if not running.ended.done():
                await self._runtime.signal(running, signal.SIGTERM)

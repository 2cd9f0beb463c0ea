"""From a container's manifest to the request that starts it: image, environment, command, user and mounts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from roadstead.api.objects import ReadOnlyObject, key_of
from roadstead.node.container_logs import ContainerLog
from roadstead.node.environment import Lookup, ReferenceProblem, command_of, environment, service_variables
from roadstead.node.images import Installation, Runnable, UnknownImage, resolve_image, with_virtual_environment
from roadstead.node.netd_protocol import StartContainer
from roadstead.node.network.services import cluster_address, stand_in_address
from roadstead.node.pod_spec import hostname_of, is_read_only, mounts_of, sub_paths_of, user_of
from roadstead.node.pod_volumes import make_sub_path
from roadstead.node.project import Project
from roadstead.node.records import ContainerRecord
from roadstead.node.runtime import Runtime, service_names, with_addresses
from roadstead.node.venvs import VenvError, VirtualEnvironments

Tell = Callable[[Any, str, str], None]
"""Records an Event of the pod: type, reason, message."""

_LIMITS = {"nofile": 1 << 20, "core": 0}


class StartProblem(Exception):
    """A container cannot be started yet: why it waits, as `state.waiting` has it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container that is ready to be started; `identity` tells what its image was."""

    request: StartContainer
    identity: str


@dataclass(slots=True)
class ContainerStart:
    """Prepares containers. `project` is asked anew each time: the file may have been corrected meanwhile."""

    runtime: Runtime
    project: Callable[[], Project]
    here: Installation
    lookup: Callable[[str], Lookup]
    services: Callable[[], Iterable[ReadOnlyObject]]
    hidden: tuple[str, ...]
    domain: str
    venvs: VirtualEnvironments = field(default_factory=VirtualEnvironments)

    async def prepare(
        self,
        pod: ReadOnlyObject,
        manifest: ReadOnlyObject,
        sources: Mapping[str, Path],
        tell: Tell,
        key: str,
    ) -> Prepared:
        """Return the request for a container. Raises StartProblem, after an Event that says the same."""
        runnable = await self._image(manifest, tell)
        try:
            request = self._request(pod, manifest, sources, runnable, key)
        except (ReferenceProblem, KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise StartProblem("CreateContainerConfigError", str(error)) from error
        for path in self.runtime.unmountable(request):
            tell(
                "Warning",
                "MountUnavailable",
                f"Container {manifest['name']} runs without a mount namespace, and nothing can be put at {path}: "
                "name the path in an argument or a variable, which is then changed to where the volume is",
            )
        if not self.runtime.isolated:
            request = self._with_addresses(request, tell)
        return Prepared(self.runtime.fitted(request), runnable.identity)

    def _with_addresses(self, request: StartContainer, tell: Tell) -> StartContainer:
        """Stand in for the DNS, which a process without a network namespace has not."""
        found = ((key_of(one), cluster_address(one) or stand_in_address(one)) for one in self.services())
        addresses = {f"{key.name}.{key.namespace}": address for key, address in found if address is not None}
        for name in sorted(service_names(request, self.domain) - addresses.keys()):
            tell(
                "Warning",
                "NameNotResolved",
                f"There is no DNS without namespaces, and no Service {name} whose address could stand for its name: "
                "create it, then start the pod again",
            )
        return with_addresses(request, addresses, self.domain)

    def _request(
        self,
        pod: ReadOnlyObject,
        manifest: ReadOnlyObject,
        sources: Mapping[str, Path],
        runnable: Runnable,
        key: str,
    ) -> StartContainer:
        where, user = key_of(pod), user_of(pod, manifest)
        links = (pod.get("spec") or {}).get("enableServiceLinks") is not False
        services = service_variables(self.services(), where.namespace, links=links)
        image = {**runnable.environment, "HOSTNAME": hostname_of(pod)}
        if not self.runtime.isolated:
            image |= {"POD_IP": (pod.get("status") or {}).get("podIP") or ""}
        variables = environment(manifest, pod, self.lookup(where.namespace), services, image)
        argv = command_of(manifest, runnable.command, variables)
        if not argv:
            raise ReferenceProblem("no command specified")
        for part in sub_paths_of(pod, manifest, sources, variables):
            make_sub_path(part)
        return StartContainer(
            0, key, argv, variables,
            directory=manifest.get("workingDir") or runnable.directory,
            mounts=mounts_of(pod, manifest, sources, variables),
            visible=list(runnable.visible),
            hidden=list(self.hidden),
            user=user.user,
            group=user.group,
            read_only=is_read_only(manifest),
            limits=_LIMITS,
        )  # fmt: skip

    async def _image(self, manifest: ReadOnlyObject, tell: Tell) -> Runnable:
        name = str(manifest.get("image") or "")
        found = resolve_image(name, self.project(), self.here)
        if isinstance(found, UnknownImage):
            tell("Warning", "Failed", f'Failed to pull image "{name}": {found.message}')
            tell("Warning", "Failed", "Error: ErrImagePull")
            raise StartProblem("ErrImagePull", found.message)
        if found.requirements is None:
            _tell_present(name, tell)
            return found
        return with_virtual_environment(found, await self._virtual_environment(name, found.requirements, tell))

    async def _virtual_environment(self, name: str, requirements: Path, tell: Tell) -> Path:
        try:
            folder = self.venvs.ready(requirements)
            if folder is None:
                tell("Normal", "Pulling", f'Making the virtual environment of image "{name}" from {requirements}')
                folder = await self.venvs.make(requirements)
                tell("Normal", "Pulled", f'Made the virtual environment of image "{name}"')
            else:
                _tell_present(name, tell)
        except (VenvError, OSError) as error:
            tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            raise StartProblem("ErrImagePull", str(error)) from error
        return folder

    def open_log(self, folder: Path, container: ContainerRecord) -> ContainerLog:
        """Open the log of a container's next run; the last two runs keep theirs."""
        logs = folder / "logs" / container.name
        numbers = sorted(int(path.stem) for path in logs.glob("*.log") if path.stem.isdigit()) if logs.exists() else []
        for number in numbers[:-1]:
            for old in logs.glob(f"{number}.log*"):
                old.unlink(missing_ok=True)
        return ContainerLog(logs / f"{numbers[-1] + 1 if numbers else 0}.log")


def _tell_present(name: str, tell: Tell) -> None:
    tell("Normal", "Pulled", f'Container image "{name}" already present on machine')

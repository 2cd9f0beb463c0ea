"""A pod's volumes on this machine: made before its containers start, kept up to date while they run.

`volumes` decides what is in them. A volume that has to be a folder of the machine is in the pod's own folder; claims
outlive the pod.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from roadstead.api.errors import ApiError
from roadstead.api.objects import ReadOnlyObject, key_of
from roadstead.api.storage import STANDARD, is_made_for
from roadstead.node.environment import Lookup, ReferenceProblem
from roadstead.node.pod_spec import SubPath, is_in_memory
from roadstead.node.volume_folders import folder_of, is_folder, volume_of_claim
from roadstead.node.volumes import OBJECT_VOLUMES, TokenRequest, token_requests, volume_files, volume_kind, write_volume

RequestToken = Callable[[ReadOnlyObject, TokenRequest], Awaitable[bytes]]
"""Gets a token of the pod's service account from the API server."""

_REFRESH_AT = 0.8  # of a token's life, as the kubelet


class PodVolumes:
    """The volumes of one pod; `sources` maps a volume's name to where it is. `clock` tells the age of tokens."""

    def __init__(
        self, folder: Path, claims: Path, request_token: RequestToken, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._claims, self._request_token, self._clock = folder, claims, request_token, clock
        self._tokens: dict[tuple[str, str], tuple[bytes, float]] = {}
        self.sources: dict[str, Path] = {}

    async def prepare(self, pod: ReadOnlyObject, lookup: Lookup) -> None:
        """Make or update all volumes. Raises ReferenceProblem that names the volume and what it lacks."""
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            self.sources[volume["name"]] = await self._prepare(pod, volume, lookup)

    async def _prepare(self, pod: ReadOnlyObject, volume: ReadOnlyObject, lookup: Lookup) -> Path:
        kind, name = volume_kind(volume), str(volume["name"])
        folder: Path = self._folder / "volumes" / name
        try:
            if kind in OBJECT_VOLUMES:
                tokens = {one.path: await self._token(pod, name, one) for one in token_requests(volume)}
                files = volume_files(volume, pod, lookup, tokens)
                await asyncio.to_thread(write_volume, folder, files)
                return folder
            return self._folder_for(pod, volume, kind, folder, lookup)
        except (OSError, ApiError) as error:
            raise ReferenceProblem(f'volume "{name}": {error}') from error

    def _folder_for(self, pod: ReadOnlyObject, volume: ReadOnlyObject, kind: str, folder: Path, lookup: Lookup) -> Path:
        if kind == "hostPath":
            return _host_path(volume["name"], volume["hostPath"])
        if kind == "persistentVolumeClaim":
            # Once found it stays: the pod is among those for which the claim and its data are kept.
            known = self.sources.get(volume["name"])
            return known or self._claimed(str(volume["name"]), str(volume[kind].get("claimName") or ""), lookup)
        if kind == "ephemeral":
            known = self.sources.get(volume["name"])
            return known or self._claimed(str(volume["name"]), _ephemeral_claim(pod, volume, lookup), lookup)
        if kind != "emptyDir":
            raise ReferenceProblem(
                f'volume "{volume["name"]}": {kind or "a volume without a source"} is not available on this node; '
                "there are emptyDir, configMap, secret, projected, downwardAPI, hostPath, persistentVolumeClaim and "
                "ephemeral"
            )
        if not is_in_memory(pod, volume):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _claimed(self, name: str, claim: str, lookup: Lookup) -> Path:
        volume = volume_of_claim(claim, lookup)
        if is_folder(volume):
            folder = folder_of(volume, self._claims)
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        if volume["spec"].get("volumeMode") == "Block":
            raise ReferenceProblem(f'volume "{name}" has volumeMode Block, and there are no block devices on this node')
        if volume["spec"].get("local"):
            return _local_path(name, Path(volume["spec"]["local"].get("path") or ""))
        source = volume["spec"].get("hostPath")
        if source is None:
            there = f'hostPath, local, and the class "{STANDARD}"'
            what = f'persistentvolume "{key_of(volume).name}" is not available on this node; there are {there}'
            raise ReferenceProblem(f'volume "{name}": {what}')
        return _host_path(name, source)

    async def _token(self, pod: ReadOnlyObject, volume: str, request: TokenRequest) -> bytes:
        known = self._tokens.get((volume, request.path))
        if known is not None and self._clock() < known[1]:
            return known[0]
        token = await self._request_token(pod, request)
        self._tokens[(volume, request.path)] = token, self._clock() + _REFRESH_AT * request.seconds
        return token


def make_sub_path(wanted: SubPath) -> None:
    """Make the part of a volume that a container is to see, as the kubelet does. Raises ReferenceProblem.

    A container may have put a link there, which would show the machine's files to whom it is mounted for.
    """
    path = wanted.folder / wanted.part
    try:
        is_inside = path.resolve().is_relative_to(wanted.folder.resolve())
        if is_inside and wanted.is_made and not path.exists():
            path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter for a link to itself
        raise ReferenceProblem(f"volumeMounts {wanted.mount_path}: subPath {wanted.part!r}: {error}") from error
    if not is_inside:
        what = "is not within the volume: a link leads out of it"
        raise ReferenceProblem(f"volumeMounts {wanted.mount_path}: subPath {wanted.part!r} {what}")
    if not path.exists():
        raise ReferenceProblem(f"volumeMounts {wanted.mount_path}: subPath {wanted.part!r} is not in the volume")


def _host_path(name: str, source: ReadOnlyObject) -> Path:
    path, kind = Path(source.get("path") or ""), source.get("type") or ""
    if not path.is_absolute():
        raise ReferenceProblem(f'volume "{name}": hostPath {path} is not absolute')
    if kind == "DirectoryOrCreate" or (not kind and not path.exists()):  # without a type, as container runtimes do
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch()
    wrong = {"Directory": not path.is_dir(), "File": not path.is_file(), "Socket": not path.is_socket()}
    if not path.exists() or wrong.get(kind, False):
        raise ReferenceProblem(f'volume "{name}": hostPath type check failed: {path} is not a {kind}')
    return path


def _local_path(name: str, path: Path) -> Path:
    if not path.is_absolute() or not path.exists():
        raise ReferenceProblem(f'volume "{name}": local path "{path}" does not exist')
    return path


def _ephemeral_claim(pod: ReadOnlyObject, volume: ReadOnlyObject, lookup: Lookup) -> str:
    """Return the claim that was made for a pod's volume. Raises ReferenceProblem if its namesake is another's."""
    claim = f"{key_of(pod).name}-{volume['name']}"
    found = lookup("PersistentVolumeClaim", claim)
    if found is not None and not is_made_for(found, pod):
        raise ReferenceProblem(f'persistentvolumeclaim "{claim}" was not created for pod {key_of(pod)}')
    return claim

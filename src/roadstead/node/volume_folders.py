"""The folders that are this machine's persistent volumes: where a claim's data is, and its end with the volume."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import structlog

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, is_deleting, key_of
from roadstead.api.storage import DRIVER, is_for
from roadstead.client import Informer
from roadstead.lib.tasks import spawn
from roadstead.node.environment import Lookup, ReferenceProblem

_log = structlog.get_logger(__name__)


def volume_of_claim(name: str, lookup: Lookup) -> ReadOnlyObject:
    """Return the volume that a claim is bound to. Raises ReferenceProblem that says what is missing.

    A claim that is being deleted is not begun with: its data may go at any moment.
    """
    claim = lookup("PersistentVolumeClaim", name)
    if claim is None:
        raise ReferenceProblem(f'persistentvolumeclaim "{name}" not found')
    if is_deleting(claim):
        raise ReferenceProblem(f'persistentvolumeclaim "{name}" is being deleted')
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise ReferenceProblem(f'persistentvolumeclaim "{name}" is not bound')
    bound_to = str(claim["spec"].get("volumeName") or "")
    volume = lookup("PersistentVolume", bound_to)
    if volume is None:
        raise ReferenceProblem(f'persistentvolume "{bound_to}" of persistentvolumeclaim "{name}" not found')
    if not is_for(volume, claim):
        raise ReferenceProblem(f'persistentvolume "{bound_to}" is not bound to persistentvolumeclaim "{name}"')
    return volume


def is_folder(volume: ReadOnlyObject) -> bool:
    """Say whether a volume is a folder that we made, or will."""
    return ((volume.get("spec") or {}).get("csi") or {}).get("driver") == DRIVER


def folder_of(volume: ReadOnlyObject, root: Path) -> Path:
    """Return where such a volume's data is: by its name, which is no path, unlike the handle that anybody may write."""
    return root / key_of(volume).name


class VolumeFolders:
    """Removes the data of volumes that are gone, unless they were to be retained."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def follow(self, volumes: Informer) -> None:
        """Begin to hear of volumes that go."""
        volumes.on_change(self._changed)

    def _changed(self, _key: ObjectKey, old: Object | None, new: Object | None) -> None:
        if old is None or not is_folder(old) or (new is not None and _uid(new) == _uid(old)):
            return
        if old["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            spawn(self._remove(old), name=f"end of volume {key_of(old).name}")

    async def _remove(self, volume: Object) -> None:
        await asyncio.to_thread(shutil.rmtree, folder_of(volume, self._root), ignore_errors=True)
        _log.info("volume removed with its data", volume=key_of(volume).name)


def _uid(volume: Mapping[str, Mapping[str, str]]) -> str | None:
    return volume["metadata"].get("uid")

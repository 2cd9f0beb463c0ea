"""The folders that are this machine's persistent volumes: where a claim's data is, and its end with the volume."""

import asyncio
import os
import shutil
from pathlib import Path

import structlog

from roadstead.api.errors import ApiError, Conflict, NotFound
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, is_deleting, key_of, metadata_of
from roadstead.api.resources import resource
from roadstead.api.storage import DATA_PROTECTION, DRIVER, VOLUME_PROTECTION, is_for
from roadstead.client import ApiClient, Informer
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
    """Removes the data of volumes that go, unless it is to be retained, and then lets the volumes go.

    The volume waits for that: so nothing is left behind, whenever the node ends in the middle of it.
    """

    def __init__(self, client: ApiClient, root: Path) -> None:
        self._client = client
        self._root = root
        self._ending: set[str] = set()

    def follow(self, volumes: Informer) -> None:
        """Begin to hear of volumes that go, and of those that went meanwhile."""
        volumes.on_change(self._changed)

    def _changed(self, _key: ObjectKey, _old: Object | None, new: Object | None) -> None:
        if new is None or not _is_for_us_to_end(new) or metadata_of(new)["uid"] in self._ending:
            return
        self._ending.add(metadata_of(new)["uid"])
        spawn(self._end(new), name=f"end of volume {key_of(new).name}")

    async def _end(self, volume: Object) -> None:
        kind, name = resource("PersistentVolume"), key_of(volume).name
        try:
            # The server is asked before data go: the policy may have changed since the volume was heard of.
            found = await self._client.get(kind, name)
            if metadata_of(found)["uid"] != metadata_of(volume)["uid"]:
                return
            if found["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                await asyncio.to_thread(remove_folder, folder_of(volume, self._root))
                _log.info("volume removed with its data", volume=name)
            await self._let_go(volume)
        except NotFound:
            return
        except (OSError, ApiError) as error:
            _log.error("volume not removed: it stays until the next start", volume=name, error=str(error))
        finally:
            self._ending.discard(metadata_of(volume)["uid"])

    async def _let_go(self, volume: ReadOnlyObject) -> None:
        """Take our finalizer away from the volume as it is now, which somebody may have changed meanwhile."""
        kind, name = resource("PersistentVolume"), key_of(volume).name
        while True:
            try:
                found = metadata_of(await self._client.get(kind, name))
                if found["uid"] != metadata_of(volume)["uid"]:
                    return
                kept = [each for each in found.get("finalizers") or () if each != DATA_PROTECTION]
                guard = {"uid": found["uid"], "resourceVersion": found["resourceVersion"]}
                await self._client.patch(kind, name, "", {"metadata": {**guard, "finalizers": kept or None}})
                return
            except NotFound:
                return
            except Conflict:
                continue


def _is_for_us_to_end(volume: ReadOnlyObject) -> bool:
    """Say whether a volume of ours is to go and only its data are left to see to."""
    finalizers = metadata_of(volume).get("finalizers") or ()
    return (
        is_folder(volume)
        and is_deleting(volume)
        and DATA_PROTECTION in finalizers
        and VOLUME_PROTECTION not in finalizers
    )


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, also what a program has made read-only. Raises OSError."""
    if not folder.exists():
        return
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            found = Path(parent, name)
            if not found.is_symlink():
                found.chmod(0o700)
    shutil.rmtree(folder)

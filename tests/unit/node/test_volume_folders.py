"""The end of a volume: its data first, and then the volume itself."""

import asyncio
from pathlib import Path

import pytest

from roadstead.api.errors import Conflict, NotFound
from roadstead.api.objects import ObjectKey
from roadstead.api.storage import DATA_PROTECTION, DRIVER, VOLUME_PROTECTION
from roadstead.node.volume_folders import VolumeFolders, remove_folder


def volume(policy: str = "Delete", finalizers=(DATA_PROTECTION,), deleted: bool = True, driver: str = DRIVER):
    metadata = {"name": "pvc-1", "uid": "u", "resourceVersion": "1", "finalizers": list(finalizers)}
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {}
    spec = {"csi": {"driver": driver}, "persistentVolumeReclaimPolicy": policy}
    return {"metadata": {**metadata, **gone}, "spec": spec}


class Server:
    """Knows one volume; refuses as many patches as it is told to."""

    def __init__(self, known, refusals=()) -> None:
        self.known, self.refusals = known, list(refusals)
        self.patches = []

    async def get(self, _kind, _name):
        if self.known is None:
            raise NotFound("pvc-1")
        return self.known

    async def patch(self, _kind, name, namespace, patch):
        if self.refusals:
            raise self.refusals.pop()
        self.patches.append((name, namespace, patch["metadata"]))


class Volumes:
    def on_change(self, callback) -> None:
        self.tell = callback


def follow(root: Path, server: Server, *changes) -> None:
    async def run() -> None:
        volumes = Volumes()
        VolumeFolders(server, root).follow(volumes)
        for change in changes:
            volumes.tell(ObjectKey("", "pvc-1"), None, change)
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks)

    (root / "pvc-1" / "deep").mkdir(parents=True)
    (root / "pvc-1" / "deep" / "file").write_text("data")
    asyncio.run(run())


FREED = ("pvc-1", "", {"uid": "u", "resourceVersion": "1", "finalizers": None})


def test_the_data_goes_and_then_the_volume(tmp_path: Path):
    server = Server(volume())
    follow(tmp_path, server, volume(), volume())
    assert not (tmp_path / "pvc-1").exists()
    assert server.patches == [FREED], "once, however often it is heard of"


def test_what_is_to_be_retained_stays(tmp_path: Path):
    server = Server(volume("Retain"))
    follow(tmp_path, server, volume("Retain"))
    assert (tmp_path / "pvc-1" / "deep" / "file").read_text() == "data"
    assert server.patches == [FREED]


def test_the_policy_that_holds_now_counts(tmp_path: Path):
    follow(tmp_path, Server(volume("Retain")), volume("Delete"))
    assert (tmp_path / "pvc-1" / "deep" / "file").read_text() == "data"


@pytest.mark.parametrize("other", [
    volume(deleted=False),                                          # nobody wants it to go
    volume(finalizers=[DATA_PROTECTION, VOLUME_PROTECTION]),        # it is bound
    volume(finalizers=[]),
    volume(driver="ebs.csi.aws.com"),
    None,                                                           # it is gone, and its data were dealt with
])  # fmt: skip
def test_other_volumes_are_left_alone(tmp_path: Path, other):
    server = Server(other)
    follow(tmp_path, server, other)
    assert (tmp_path / "pvc-1" / "deep" / "file").exists()
    assert server.patches == []


def test_a_volume_that_changes_meanwhile_is_let_go_as_it_is_now(tmp_path: Path):
    server = Server(volume(finalizers=[DATA_PROTECTION, "example.com/audit"]), [Conflict("changed")])
    follow(tmp_path, server, volume())
    ((_, _, metadata),) = server.patches
    assert metadata["finalizers"] == ["example.com/audit"]


@pytest.mark.parametrize("now", [None, {**volume(), "metadata": {"name": "pvc-1", "uid": "a namesake's"}}])
def test_a_volume_that_is_gone_meanwhile_is_no_fault(tmp_path: Path, now):
    server = Server(now)
    follow(tmp_path, server, volume())
    assert server.patches == []


def test_what_a_program_has_made_read_only_goes_too(tmp_path: Path):
    folder = tmp_path / "data"
    (folder / "closed" / "more").mkdir(parents=True)
    (folder / "closed" / "file").write_text("x")
    (folder / "link").symlink_to(tmp_path)
    (folder / "closed" / "more").chmod(0)
    (folder / "closed").chmod(0o500)
    remove_folder(folder)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []

"""A pod's volumes on disk."""

import asyncio
from pathlib import Path

import pytest

from roadstead.api.errors import NotFound
from roadstead.api.storage import DRIVER
from roadstead.node.environment import ReferenceProblem
from roadstead.node.pod_spec import SubPath
from roadstead.node.pod_volumes import PodVolumes, make_sub_path


def pod(*volumes):
    return {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"volumes": list(volumes)}}


def bound(name: str, **source):
    """A claim with its volume, as a pod's volume finds them."""
    claim = {"metadata": {"name": "disk", "uid": "c"}, "spec": {"volumeName": name}, "status": {"phase": "Bound"}}
    spec = {"claimRef": {"namespace": "shop", "name": "disk", "uid": "c"}, **source}
    return {"PersistentVolumeClaim": claim, "PersistentVolume": {"metadata": {"name": name}, "spec": spec}}


def going(storage):
    """The same storage when somebody has deleted the claim."""
    claim = storage["PersistentVolumeClaim"]
    return {**storage, "PersistentVolumeClaim": {**claim, "metadata": {**claim["metadata"], "deletionTimestamp": "x"}}}


FOLDER = bound("pvc-1", csi={"driver": DRIVER, "volumeHandle": "../../etc"})
DISK = {"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}


def prepare(tmp_path: Path, *volumes, token=b"T0K", times: int = 1, storage=FOLDER):
    asked = []

    async def request_token(of, wanted):
        asked.append(wanted.audience)
        if isinstance(token, Exception):
            raise token
        return token

    made = PodVolumes(tmp_path / "pod", tmp_path / "claims", request_token)

    async def run():
        for _ in range(times):
            await made.prepare(pod(*volumes), lambda kind, _: storage.get(kind, {"kind": kind, "data": {"a": "1"}}))

    asyncio.run(run())
    return made.sources, asked


def test_every_volume_has_its_place(tmp_path: Path):
    sources, _ = prepare(
        tmp_path,
        {"name": "data", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "kept", "persistentVolumeClaim": {"claimName": "disk"}},
        {"name": "host", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}},
    )
    assert sources["data"].is_dir()
    assert (sources["config"] / "a").read_text() == "1"
    assert sources["kept"] == tmp_path / "claims" / "pvc-1" and sources["kept"].is_dir()
    assert sources["host"] == tmp_path / "made" and sources["host"].is_dir()


def test_a_token_is_asked_for_once_while_it_is_fresh(tmp_path: Path):
    source = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
    sources, asked = prepare(tmp_path, {"name": "id", "projected": {"sources": [source]}}, times=3)
    assert (sources["id"] / "token").read_bytes() == b"T0K"
    assert asked == ["vault"]


def test_a_token_is_rotated_before_it_ends(tmp_path: Path):
    now, given = 0.0, iter([b"first", b"second"])

    async def request_token(of, wanted):
        return next(given)

    made = PodVolumes(tmp_path / "pod", tmp_path / "claims", request_token, clock=lambda: now)
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}
    of = pod({"name": "id", "projected": {"sources": [source]}})
    seen = []
    for moment in (0.0, 799.0, 801.0):
        now = moment
        asyncio.run(made.prepare(of, lambda kind, name: None))
        seen.append((made.sources["id"] / "token").read_bytes())
    assert seen == [b"first", b"first", b"second"]


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"nfs": {"server": "x"}}, 'volume "v": nfs is not available on this node; there are emptyDir'),
        ({}, "a volume without a source"),
        ({"hostPath": {"path": "/no/such", "type": "File"}}, "/no/such is not a File"),
        ({"hostPath": {"path": "/etc/hostname", "type": "Directory"}}, "/etc/hostname is not a Directory"),
        ({"hostPath": {"path": "etc", "type": "DirectoryOrCreate"}}, 'volume "v": hostPath etc is not absolute'),
    ],
)
def test_what_is_not_available_is_named(tmp_path: Path, volume, words):
    with pytest.raises(ReferenceProblem, match=words):
        prepare(tmp_path, {"name": "v", **volume})


@pytest.mark.parametrize("source", ["hostPath", "local"])
def test_a_volume_may_be_a_folder_of_the_machine(tmp_path: Path, source):
    sources, _ = prepare(tmp_path, DISK, storage=bound("mine", **{source: {"path": str(tmp_path)}}))
    assert sources["v"] == tmp_path


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ({"PersistentVolumeClaim": None}, 'persistentvolumeclaim "disk" not found'),
        (
            {"PersistentVolumeClaim": {"spec": {}, "status": {"phase": "Pending"}}},
            'persistentvolumeclaim "disk" is not bound',
        ),
        ({**FOLDER, "PersistentVolume": None}, 'persistentvolume "pvc-1" of persistentvolumeclaim "disk" not found'),
        (going(FOLDER), 'persistentvolumeclaim "disk" is being deleted'),
        (
            bound("pvc-1", claimRef={"uid": "a namesake's"}),
            'persistentvolume "pvc-1" is not bound to persistentvolumeclaim',
        ),
        (bound("far", nfs={"server": "x"}), 'volume "v": persistentvolume "far" is not available on this node'),
        (bound("gone", local={"path": "/no/such"}), 'local path "/no/such" does not exist'),
        (bound("raw", volumeMode="Block", local={"path": "/dev/null"}), 'volume "v" has volumeMode Block'),
    ],
)
def test_a_claim_that_cannot_be_had_is_named(tmp_path: Path, storage, words):
    with pytest.raises(ReferenceProblem, match=words):
        prepare(tmp_path, DISK, storage=storage)


def test_a_token_that_is_refused_is_told(tmp_path: Path):
    source = {"serviceAccountToken": {"path": "token"}}
    with pytest.raises(ReferenceProblem, match='volume "id": serviceaccounts "default" not found'):
        prepare(
            tmp_path,
            {"name": "id", "projected": {"sources": [source]}},
            token=NotFound('serviceaccounts "default" not found'),
        )


def test_a_part_of_a_volume_is_made_where_it_is_missing(tmp_path: Path):
    volume = tmp_path / "volume"
    volume.mkdir()
    for _ in range(2):
        make_sub_path(SubPath("/data", volume, "deep/part", is_made=True))
    assert (volume / "deep" / "part").is_dir()
    (volume / "file").write_text("kept")
    make_sub_path(SubPath("/data", volume, "file", is_made=True))
    assert (volume / "file").read_text() == "kept"


def test_a_key_that_a_config_map_lacks_is_no_folder(tmp_path: Path):
    """In Kubernetes the container finds an empty folder there, and its author looks for the reason for long."""
    with pytest.raises(ReferenceProblem, match=r"volumeMounts /app\.conf: subPath 'app\.conf' is not in the volume"):
        make_sub_path(SubPath("/app.conf", tmp_path, "app.conf", is_made=False))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["/etc", "..", "../other", "part/../../other"])
def test_a_link_that_a_container_has_made_leads_nowhere_else(tmp_path: Path, target):
    volume = tmp_path / "volume"
    (volume / "part").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (volume / "link").symlink_to(target)
    for part in ("link", "link/more"):
        with pytest.raises(ReferenceProblem, match="a link leads out of it"):
            make_sub_path(SubPath("/data", volume, part, is_made=True))
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("target", ["link", "missing"])
def test_a_link_to_nothing_is_said(tmp_path: Path, target):
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ReferenceProblem, match="volumeMounts /data: subPath 'link': "):
        make_sub_path(SubPath("/data", tmp_path, "link", is_made=True))


def test_a_pod_keeps_its_claim_while_that_waits_to_be_deleted(tmp_path: Path):
    """A container that is started once more, or a Secret that has changed, has all volumes looked at again."""

    async def run() -> Path:
        made = PodVolumes(tmp_path / "pod", tmp_path / "claims", None)
        await made.prepare(pod(DISK), lambda kind, _: FOLDER[kind])
        await made.prepare(pod(DISK), lambda kind, _: going(FOLDER)[kind])
        return made.sources["v"]

    assert asyncio.run(run()) == tmp_path / "claims" / "pvc-1"


def test_a_folder_of_the_machine_that_is_missing_is_made_as_container_runtimes_do(tmp_path: Path):
    sources, _ = prepare(tmp_path, {"name": "v", "hostPath": {"path": str(tmp_path / "new" / "one")}})
    assert sources["v"].is_dir()


def owned_by(uid: str, storage):
    reference = {"controller": True, "kind": "Pod", "name": "web", "uid": uid}
    claim = storage["PersistentVolumeClaim"]
    metadata = {**claim["metadata"], "ownerReferences": [reference]}
    return {**storage, "PersistentVolumeClaim": {**claim, "metadata": metadata}}


SCRATCH = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}


def test_an_ephemeral_volume_is_its_claims(tmp_path: Path):
    sources, _ = prepare(tmp_path, SCRATCH, storage=owned_by("u", FOLDER))
    assert sources["scratch"] == tmp_path / "claims" / "pvc-1"
    with pytest.raises(ReferenceProblem, match='"web-scratch" was not created for pod shop/web'):
        prepare(tmp_path, SCRATCH, storage=owned_by("another", FOLDER))

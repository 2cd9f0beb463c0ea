"""Volumes made of objects: their files, and writing them in one step."""

import base64
import os
from pathlib import Path

import pytest

from roadstead.node.environment import ReferenceProblem
from roadstead.node.volumes import File, TokenRequest, token_requests, volume_files, volume_kind, write_volume

POD = {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": []}}
OBJECTS = {
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}},
    ("Secret", "login"): {"kind": "Secret", "data": {"password": base64.b64encode(b"sesame").decode()}},
}


def files(volume, tokens=None):
    return volume_files({"name": "v", **volume}, POD, lambda kind, name: OBJECTS.get((kind, name)), tokens or {})


def test_a_config_map_is_a_file_per_key():
    made = files({"configMap": {"name": "settings", "defaultMode": 0o400}})
    assert made == {"a": File(b"1", 0o400), "b": File(b"2", 0o400), "c": File(b"\0\1", 0o400)}


def test_items_choose_name_and_mode():
    made = files({"configMap": {"name": "settings", "items": [{"key": "a", "path": "deep/x", "mode": 0o600}]}})
    assert made == {"deep/x": File(b"1", 0o600)}


def test_projected_sources_lie_side_by_side():
    sources = [
        {"secret": {"name": "login"}},
        {"configMap": {"name": "absent", "optional": True}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
    ]
    volume = {"name": "v", "projected": {"sources": sources}}
    assert volume_kind(volume) == "projected"
    assert token_requests(volume) == [TokenRequest("token", "vault", 600)]
    made = files(volume, {"token": b"T0K"})
    assert {path: file.content for path, file in made.items()} == {
        "password": b"sesame",
        "labels": b'app="web"',
        "token": b"T0K",
    }


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ({"secret": {"secretName": "absent"}}, 'secret "absent" not found'),
        ({"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}}, "has no key 'z'"),
        ({"configMap": {"name": "settings", "items": [{"key": "a", "path": "../a"}]}}, "must stay inside"),
    ],
)
def test_what_cannot_be_is_named(volume, words):
    with pytest.raises(ReferenceProblem, match=words):
        files(volume)


def test_secrets_do_not_show():
    assert "sesame" not in repr(File(b"sesame"))


def test_a_volume_changes_in_one_step(tmp_path: Path):
    folder = tmp_path / "v"
    assert write_volume(folder, {"a": File(b"1"), "deep/b": File(b"2", 0o600)})
    held = os.open(folder / "..data", os.O_RDONLY)
    assert not write_volume(folder, {"a": File(b"1"), "deep/b": File(b"2", 0o600)})
    assert write_volume(folder, {"a": File(b"new"), "c": File(b"3")})
    assert {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")} == {
        "a": "new",
        "c": "3",
    }
    assert len([path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]) == 1
    os.close(held)


def test_a_changed_mode_is_a_change(tmp_path: Path):
    write_volume(tmp_path / "v", {"a": File(b"1")})
    assert write_volume(tmp_path / "v", {"a": File(b"1", 0o600)})
    assert (tmp_path / "v" / "a").stat().st_mode & 0o777 == 0o600

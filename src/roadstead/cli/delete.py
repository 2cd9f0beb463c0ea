"""`roadstead delete cluster`, in kind's words."""

from pathlib import Path

import click

from roadstead.cli.contexts import leave_kubeconfig
from roadstead.cli.terminal import CommandError, err, name_option
from roadstead.cluster import lifecycle
from roadstead.cluster.configuration import DEFAULT_NAME
from roadstead.cluster.layout import Layout
from roadstead.cluster.lifecycle import LifecycleError


@click.group("delete")
def command() -> None:
    """Delete a cluster."""


@command.command()
@name_option
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="The kubeconfig that the cluster was added to.")
def cluster(name: str | None, kubeconfig: Path | None) -> None:
    """Stop a cluster, remove all its files and its kubectl context. As with kind, none to delete is no error."""
    remove(name or DEFAULT_NAME, kubeconfig)


def remove(name: str, kubeconfig: Path | None) -> None:
    """Delete a cluster by name, saying what happened."""
    err.print(f"Deleting cluster {name!r} ...")
    try:
        found = lifecycle.delete(Layout.of(name))
    except (LifecycleError, OSError) as error:
        raise CommandError(f"cluster {name!r} cannot be deleted: {error}") from error
    leave_kubeconfig(name, kubeconfig)
    if not found:
        err.print(f"There was no cluster {name!r}.")

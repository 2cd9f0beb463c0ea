"""`roadstead get clusters` and `get kubeconfig`, in kind's words."""

import click

from roadstead.cli.clusters import existing
from roadstead.cli.terminal import CommandError, err, name_option, output_option, print_json
from roadstead.cluster.configuration import DEFAULT_NAME
from roadstead.cluster.layout import Layout, cluster_names, running_supervisor


@click.group("get")
def command() -> None:
    """Show clusters and their kubeconfigs."""


@command.command()
@output_option
def clusters(output: str) -> None:
    """List the clusters on this machine, one name a line."""
    names = cluster_names()
    if output == "json":
        print_json([_as_json(name) for name in names])
        return
    if not names:
        err.print("No clusters found.")
    for name in names:
        click.echo(name)


@command.command()
@name_option
def kubeconfig(name: str | None) -> None:
    """Print the kubeconfig of a cluster."""
    layout = existing(name or DEFAULT_NAME)
    if not layout.kubeconfig.exists():
        raise CommandError(f"cluster {name!r} has no kubeconfig yet: it never came up; see {layout.log}")
    click.echo(layout.kubeconfig.read_text(), nl=False)


def _as_json(name: str) -> dict[str, object]:
    layout = Layout.of(name)
    supervisor = running_supervisor(layout)
    return {"name": name, "running": supervisor is not None, "process": supervisor, "folder": str(layout.root)}

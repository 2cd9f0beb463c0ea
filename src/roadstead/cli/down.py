"""`roadstead down`: the end of what `up --detach` began."""

import click

from roadstead.cli.delete import remove
from roadstead.cli.terminal import name_option
from roadstead.cluster.configuration import DEFAULT_NAME


@click.command("down")
@name_option
def command(name: str | None) -> None:
    """Stop a system: its pods end gracefully, then its cluster and all its files are removed."""
    remove(name or DEFAULT_NAME, None)

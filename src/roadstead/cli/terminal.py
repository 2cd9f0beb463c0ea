"""What every command says in the same way: results, warnings, and errors with a remedy."""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(click.ClickException):
    """What went wrong and what to do; printed to stderr, exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Print the message; click calls this."""
        err.print(f"[bold red]Error:[/] {_escaped(self.message)}")


class InputError(CommandError):
    """The command or a file that it was given is wrong; exit code 2."""

    exit_code = 2


def warn(message: str) -> None:
    """Print a warning to stderr."""
    err.print(f"[yellow]Warning:[/] {_escaped(message)}")


def print_json(value: Any) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2))


def print_rows(rows: Iterable[Iterable[str]]) -> None:
    """Print rows in columns as kubectl does: three spaces apart, no lines."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _escaped(text: str) -> str:
    # rich reads [brackets] as markup; roadstead.toml's table headers look just like that.
    return text.replace("[", r"\[")


name_option = click.option(
    "--name", "-n", default=None, metavar="NAME", help="The cluster; default: roadstead, or the configuration's name."
)
output_option = click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", help="Text for people, JSON for programs."
)

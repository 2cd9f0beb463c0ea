"""The top of the command line: names every command, imports only the one that runs."""

import importlib

import click

import roadstead

# The order is the order of `roadstead --help`: what a newcomer needs first stands first.
_COMMANDS = {
    "up": "Run a system from its manifests, until Ctrl-C.",
    "check": "Say what is wrong with manifests, without a cluster.",
    "down": "Stop a system and remove its cluster.",
    "cert": "Make the TLS Secrets that a project lists.",
    "create": "Create a cluster (as kind does).",
    "get": "Show clusters and kubeconfigs (as kind does).",
    "delete": "Delete a cluster (as kind does).",
    "load": "Tell a running cluster what images run.",
    "call": "Call a gRPC method through a Gateway.",
    "explain": "Say why a request or a call is decided as it is.",
    "doctor": "Say what this machine can enforce.",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"roadstead.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(roadstead.__version__, prog_name="roadstead")
def root() -> None:
    """Run gRPC systems from their Kubernetes manifests, on this machine.

    \b
    roadstead up examples/user-platform     bring a system up, watch it, Ctrl-C ends it
    roadstead get clusters                  what runs
    roadstead COMMAND --help                what a command does, with examples
    """

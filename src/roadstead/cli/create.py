"""`roadstead create cluster`, in kind's words."""

import time
from pathlib import Path

import click

from roadstead.cli.clusters import configuration_from, start, wait_showing_progress
from roadstead.cli.contexts import enter_kubeconfig
from roadstead.cli.terminal import InputError, err, name_option
from roadstead.cluster.configuration import Isolation
from roadstead.cluster.kubeconfig import context_name
from roadstead.node.project import ProjectError, find_project, read_project


@click.group("create")
def command() -> None:
    """Create a cluster."""


@command.command()
@name_option
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A kind configuration.")
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="The roadstead.toml that says what images run; default: the one beside the configuration or here.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "namespaces", "none"]),
    default="auto",
    help="How pods are kept apart; auto: namespaces where the machine has them.",
)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="The kubeconfig to add the cluster to.")
@click.option("--wait", "wait_", hidden=True, help="Accepted for kind's sake: the node is ready when this returns.")
def cluster(
    name: str | None,
    config: Path | None,
    images: Path | None,
    isolation: Isolation,
    kubeconfig: Path | None,
    wait_: str | None,
) -> None:
    """Create a cluster on this machine and make it kubectl's current context.

    \b
    roadstead create cluster --name devops --config cluster-config.yaml
    kubectl apply -f kubernetes/
    roadstead delete cluster --name devops
    """  # fmt: skip
    del wait_
    project = images or find_project(config or Path.cwd())
    _check_project(project)
    configuration = configuration_from(config, name, isolation, project)
    begun = time.monotonic()
    running = wait_showing_progress(start(configuration, attached=False))
    path = enter_kubeconfig(running.layout, kubeconfig)
    context = context_name(configuration.name)
    err.print(f"Created cluster {configuration.name!r} in {time.monotonic() - begun:.1f} s.")
    err.print(f'Set kubectl context to "{context}" in {path}. You can now use:\n')
    err.print(f"  kubectl cluster-info --context {context}")


def _check_project(project: Path | None) -> None:
    if project is None:
        return
    try:
        read_project(project)
    except ProjectError as error:
        raise InputError(str(error)) from error

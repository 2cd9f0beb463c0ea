"""What the commands that start and stop clusters share: from options to a configuration, and the progress they show."""

from pathlib import Path

import msgspec
import yaml

from roadstead.cli.terminal import CommandError, InputError, err, warn
from roadstead.cluster import kubeconfig, lifecycle
from roadstead.cluster.configuration import ClusterConfiguration, ConfigurationError, Isolation, checked
from roadstead.cluster.kind import read_kind_configuration
from roadstead.cluster.layout import Layout, cluster_names
from roadstead.cluster.lifecycle import LifecycleError, Report, Running, Starting


def configuration_from(
    file: Path | None, name: str | None, isolation: Isolation, project: Path | None
) -> ClusterConfiguration:
    """Return the configuration in a kind file with the options laid over it. What is wrong ends the command."""
    try:
        configuration, warnings = read_kind_configuration(file) if file else (ClusterConfiguration(), [])
        options = {"name": name or configuration.name, "isolation": isolation, "project": str(project or "")}
        configuration = checked(msgspec.structs.replace(configuration, **options))
    except ConfigurationError as error:
        raise InputError(str(error)) from error
    for warning in warnings:
        warn(warning)
    return configuration


def start(configuration: ClusterConfiguration, *, attached: bool) -> Starting:
    """Start a cluster in the background. One that runs already ends the command."""
    try:
        return lifecycle.start(configuration, attached=attached)
    except LifecycleError as error:
        raise CommandError(str(error)) from error


def wait_showing_progress(starting: Starting) -> Running:
    """Wait for a cluster, saying what happens. A cluster that does not start ends the command."""
    try:
        with err.status("Starting ...") as status:

            def show(report: Report) -> None:
                if report.warning:
                    warn(report.warning)
                elif report.stage:
                    status.update(f"{report.stage} ...")

            return starting.wait(show)
    except LifecycleError as error:
        raise CommandError(str(error)) from error


def existing(name: str) -> Layout:
    """Return the layout of a cluster that exists. One that does not ends the command."""
    layout = Layout.of(name)
    if not layout.exists:
        known = ", ".join(cluster_names()) or "none"
        raise CommandError(f"there is no cluster {name!r} (there are: {known}); `roadstead create cluster` makes one")
    return layout


def enter_kubeconfig(layout: Layout, explicit: Path | None) -> Path:
    """Add the cluster to the user's kubeconfig as its current context, and return that file."""
    path = kubeconfig.user_file(explicit)
    ours = yaml.load(layout.kubeconfig.read_text(), Loader=yaml.CSafeLoader)
    try:
        kubeconfig.change(path, lambda existing: kubeconfig.merged(existing, ours))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CommandError(
            f"the cluster runs, but its context cannot be added to {path} ({error}); "
            f"use it with: export KUBECONFIG={layout.kubeconfig}"
        ) from error
    return path


def leave_kubeconfig(name: str, explicit: Path | None) -> None:
    """Take the cluster's entries out of the user's kubeconfig, if that file is there."""
    path = kubeconfig.user_file(explicit)
    if not path.exists():
        return
    try:
        kubeconfig.change(path, lambda existing: kubeconfig.without(existing, kubeconfig.context_name(name)))
    except (OSError, ValueError, yaml.YAMLError) as error:
        warn(f"{path} still has the context {kubeconfig.context_name(name)}: {error}")

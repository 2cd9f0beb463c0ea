"""What the commands that start and stop clusters share: from options to a configuration, and the progress they show."""

from pathlib import Path

import msgspec

from roadstead.cli.terminal import CommandError, InputError, err, warn
from roadstead.cluster import lifecycle
from roadstead.cluster.configuration import ClusterConfiguration, ConfigurationError, Isolation, checked
from roadstead.cluster.layout import Layout, cluster_names
from roadstead.cluster.lifecycle import LifecycleError, Report, Running, Starting


def configuration_from(
    file: Path | None, name: str | None, isolation: Isolation, project: Path | None
) -> ClusterConfiguration:
    """Return the configuration in a kind file with the options laid over it. What is wrong ends the command."""
    try:
        configuration, warnings = _read(file) if file else (ClusterConfiguration(), [])
        options = {"name": name or configuration.name, "isolation": isolation, "project": str(project or "")}
        configuration = checked(msgspec.structs.replace(configuration, **options))
    except ConfigurationError as error:
        raise InputError(str(error)) from error
    for warning in warnings:
        warn(warning)
    return configuration


def _read(file: Path) -> tuple[ClusterConfiguration, list[str]]:
    from roadstead.cluster.kind import read_kind_configuration  # only where there is one: no cluster waits for YAML

    return read_kind_configuration(file)


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

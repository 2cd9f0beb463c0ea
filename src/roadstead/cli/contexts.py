"""A cluster's context in the user's kubeconfig, for the commands that add and remove it."""

from pathlib import Path

import yaml

from roadstead.cli.terminal import CommandError, warn
from roadstead.cluster import kubeconfig
from roadstead.cluster.layout import Layout
from roadstead.lib.yaml_depth import load_yaml


def enter_kubeconfig(layout: Layout, explicit: Path | None) -> Path:
    """Add the cluster to the user's kubeconfig as its current context, and return that file."""
    path = kubeconfig.user_file(explicit)
    ours = load_yaml(layout.kubeconfig.read_text())
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

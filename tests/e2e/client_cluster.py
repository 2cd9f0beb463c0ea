"""A whole cluster for tests of what clients can do with it: made by the command line, its images start at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from e2e import small_system as small
from e2e.commands import Commands

SHELL = "registry.example.com/shell:1"
ECHO = "registry.example.com/echo:"
PROJECT = """
[images."registry.example.com/echo:1"]
command = ["python", "-I", "-S", "server.py"]

[images."registry.example.com/echo:2"]
command = ["python", "-I", "-S", "server.py"]

[images."registry.example.com/shell:1"]
command = ["sh", "-c"]
"""


@contextlib.contextmanager
def cluster(home: Path, name: str) -> Iterator[Commands]:
    """Make a cluster whose kubeconfig is `HOME/kubeconfig`, and delete it in the end."""
    commands = Commands(home)
    folder = home / "project"
    folder.mkdir()
    (folder / "server.py").write_text(small.SERVER)
    (folder / "roadstead.toml").write_text(PROJECT)
    commands.roadstead("create", "cluster", "--name", name, "--images", str(folder / "roadstead.toml"))
    try:
        yield commands
    finally:
        commands.roadstead("delete", "cluster", "--name", name)


def shell_pod(name: str, script: str = "sleep 1000", **metadata: Any) -> dict[str, Any]:
    """Return a pod that runs a script and ends at once when told to."""
    main = {"name": "main", "image": SHELL, "args": [script]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [main]},
    }  # fmt: skip


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data,
    }  # fmt: skip


def definition(plural: str, kind: str) -> dict[str, Any]:
    """Return a custom kind with a default, a status and a scale, at `roads.example.com/v1`."""
    count = {"type": "integer", "minimum": 0}
    spec = {"type": "object", "properties": {"size": {**count, "default": 3}, "note": {"type": "string"}}}
    status = {"type": "object", "properties": {"size": count, "phase": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": {**spec, "default": {}}, "status": status}}
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }  # fmt: skip
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.roads.example.com"},
        "spec": {"group": "roads.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip


def custom(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "roads.example.com/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }  # fmt: skip

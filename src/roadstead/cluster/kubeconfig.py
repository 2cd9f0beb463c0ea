"""Kubeconfigs: a cluster's own, and its place in the user's.

As with kind, creating a cluster adds a context to the user's kubeconfig and makes it current; deleting the cluster
takes out what was added and nothing else.
"""

import base64
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from roadstead.api.objects import Object
from roadstead.lib.pki import KeyPair, write_private
from roadstead.lib.yaml_depth import load_yaml

_LISTS = ("clusters", "contexts", "users")


def context_name(cluster: str) -> str:
    """Return the name of a cluster's context, cluster and user entries."""
    return cluster if cluster == "roadstead" else f"roadstead-{cluster}"


def kubeconfig(cluster: str, server: str, authority_pem: bytes, client: KeyPair) -> Object:
    """Return a kubeconfig with one context, for the administrator whose certificate `client` is."""
    name = context_name(cluster)

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": encoded(authority_pem)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": encoded(client.certificate),
                    "client-key-data": encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "preferences": {},
    }


def merged(existing: Mapping[str, Any], added: Mapping[str, Any]) -> Object:
    """Return `existing` with the entries of `added` put in (same name: replaced) and its context current."""
    result: Object = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **existing}
    for kind in _LISTS:
        names = {entry["name"] for entry in added[kind]}
        kept = [entry for entry in existing.get(kind) or () if entry.get("name") not in names]
        result[kind] = [*kept, *added[kind]]
    result["current-context"] = added["current-context"]
    return result


def without(existing: Mapping[str, Any], name: str) -> Object:
    """Return `existing` without the entries of this name; no context is current if it was."""
    result = dict(existing)
    for kind in _LISTS:
        if kind in result:
            result[kind] = [entry for entry in result[kind] or () if entry.get("name") != name]
    if result.get("current-context") == name:
        result["current-context"] = ""
    return result


def user_file(explicit: Path | None = None) -> Path:
    """Return the kubeconfig that kubectl would write: `explicit`, the first of `$KUBECONFIG`, or ~/.kube/config."""
    if explicit is not None:
        return explicit
    listed = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


def change(path: Path, edit: Callable[[Mapping[str, Any]], Object]) -> None:
    """Rewrite a kubeconfig in one step, under a lock, mode 0600.

    Raises ValueError naming the file when it is there and is not a kubeconfig: it is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = load_yaml(path.read_text()) if path.exists() else {}
        if content is not None and not isinstance(content, dict):
            raise ValueError(f"{path} is not a kubeconfig: expected a mapping with clusters, users and contexts")
        write_private(path, yaml.safe_dump(edit(content or {}), sort_keys=False).encode())

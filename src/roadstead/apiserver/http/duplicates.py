"""Fields that a body names twice: the parser keeps the last, so a strict reader has to look for them itself.

Asked only where the client wants strictness (`kubectl` always does). Paths are written as Kubernetes writes them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from roadstead.api.errors import ApiError
from roadstead.lib.yaml_depth import check_depth


class _Twice(dict[str, Any]):
    """An object of a body in which these names came more than once."""

    names: tuple[str, ...] = ()


def duplicate_fields(body: bytes) -> list[str]:
    """Return the paths of fields that come twice in JSON, in order; empty if there are none, or if it is no JSON."""
    found = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        found = True
        marked = _Twice(plain)
        counts = Counter(name for name, _ in pairs)
        marked.names = tuple(name for name, count in counts.items() if count > 1)
        return marked

    try:
        document = json.loads(body, object_pairs_hook=build)
    except (ValueError, RecursionError):
        return []
    paths: list[str] = []
    if found:
        _collect(document, "", paths)
    return paths


def _collect(value: Any, path: str, paths: list[str]) -> None:
    if isinstance(value, list):
        for position, entry in enumerate(value):
            _collect(entry, f"{path}[{position}]", paths)
    elif isinstance(value, dict):
        prefix = f"{path}." if path else ""
        if isinstance(value, _Twice):
            paths += [prefix + name for name in value.names]
        for name, entry in value.items():
            _collect(entry, prefix + name, paths)


def duplicate_yaml_fields(body: bytes) -> list[str]:
    """Return the paths of fields that come twice in YAML, in order; empty if there are none, or if it is no YAML."""
    if body[:1] == b"{":
        return duplicate_fields(body)
    try:
        check_depth(body)
        root = yaml.compose(body, yaml.CSafeLoader)
        return list(_twice_below(root, "", set())) if root is not None else []
    except (ApiError, yaml.YAMLError, RecursionError, ValueError):
        return []


def _twice_below(node: yaml.Node, path: str, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:  # an alias: what it stands for was looked at
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for position, entry in enumerate(node.value):
            yield from _twice_below(entry, f"{path}[{position}]", seen)
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, entry in node.value:
            name = f"{path}.{key.value}" if path else str(key.value)
            if name in names and key.value != "<<":
                yield name
            names.add(name)
            yield from _twice_below(entry, name, seen)

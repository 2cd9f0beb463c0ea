"""Manifests read from files: objects that know the file and line they came from, and what is wrong with the rest.

Pure but for reading the files: `read_manifests` returns documents and problems, and never raises on what is in them.
Next: `applying`, which sends the documents.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from roadstead.api.objects import Object, metadata_of
from roadstead.lib.yaml_depth import check_depth

_SUFFIXES = (".yaml", ".yml", ".json")
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: no dates and no numbers in base 60, exponents without a point."""


def _as_kubernetes_reads() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    numbers = {
        "tag:yaml.org,2002:int": re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
        "tag:yaml.org,2002:float": re.compile(
            r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
        ),
    }
    dropped = (*numbers, "tag:yaml.org,2002:timestamp")
    inherited = yaml.CSafeLoader.yaml_implicit_resolvers
    resolvers = {
        first: [(tag, pattern) for tag, pattern in entries if tag not in dropped]
        for first, entries in inherited.items()
    }
    for tag, pattern in numbers.items():
        for first in "-+.0123456789":
            resolvers.setdefault(first, []).append((tag, pattern))
    return resolvers


_Loader.yaml_implicit_resolvers = _as_kubernetes_reads()


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest and where it stands."""

    object: Object
    path: Path
    line: int
    _node: yaml.Node | None = field(default=None, repr=False, compare=False)

    @property
    def title(self) -> str:
        """What people call it: `Deployment shop/web`."""
        metadata = metadata_of(self.object)
        name = metadata.get("name") or metadata.get("generateName") or "?"
        namespace = metadata.get("namespace")
        return f"{self.object['kind']} {namespace}/{name}" if namespace else f"{self.object['kind']} {name}"

    def where(self, field_path: str = "") -> str:
        """Return `file:line` of the document, or of a field (`spec.containers[0].image`) as near as it exists."""
        line = self.line if self._node is None else _line_of(self._node, field_path)
        return f"{self.path}:{line}"

    def first_line(self, field: str, key: str) -> int | None:
        """Return the line of a text's first one, for what reads the text itself (`data`, `policy.yaml`).

        None unless its lines stand in the file as they are: in a block that begins with `|`.
        """
        node = self._node
        for name in (field, key):
            found = None if node is None else _child(node, name, "")
            node = found[0] if found else None
        block = isinstance(node, yaml.ScalarNode) and node.style == "|"
        return node.start_mark.line + 2 if node is not None and block else None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be applied: where it is and why."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """What was read: documents in the order of files and lines, and problems."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def read_manifests(paths: Iterable[Path]) -> Manifests:
    """Read files and, in the order of their names, the YAML and JSON files below folders."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        for file in _files(path):
            found = _read_file(file)
            documents.extend(found.documents)
            problems.extend(found.problems)
    return Manifests(tuple(documents), tuple(problems))


def parse_manifest(text: str, path: Path) -> Manifests:
    """Read the documents of one file's content."""
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for entry in _json_document(text) if path.suffix == ".json" else _yaml_documents(text):
            _sort_in(entry, path, documents, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(path, mark.line + 1 if mark else 0, f"not YAML: {error.problem or error.context}"))
    except (yaml.YAMLError, msgspec.DecodeError) as error:
        problems.append(Problem(path, 0, f"cannot be read: {error}"))
    except (ValueError, TypeError, RecursionError, AttributeError) as error:
        # What the YAML library itself raises on values such as `!!int x` and on aliases that contain themselves.
        problems.append(Problem(path, 0, f"cannot be read as Kubernetes data: {error}"))
    return Manifests(tuple(documents), tuple(problems))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    hidden = (file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return sorted(file for file in hidden if not any(part.startswith(".") for part in file.relative_to(path).parts))


def _read_file(path: Path) -> Manifests:
    try:
        return parse_manifest(path.read_text(encoding="utf-8-sig"), path)
    except OSError as error:
        return Manifests((), (Problem(path, 0, f"cannot be read: {error.strerror}"),))
    except UnicodeDecodeError as error:
        return Manifests((), (Problem(path, 0, f"is not UTF-8 text: {error.reason}"),))


_Entry = tuple[Any, int, yaml.Node | None]


def _json_document(text: str) -> Iterator[_Entry]:
    yield msgspec.json.decode(text), 1, None


def _yaml_documents(text: str) -> Iterator[_Entry]:
    check_depth(text)
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield _plain(loader.construct_document(node)), node.start_mark.line + 1, node
    finally:
        loader.dispose()


def _sort_in(entry: _Entry, path: Path, documents: list[Document], problems: list[Problem]) -> None:
    content, line, node = entry
    if content is None:
        return
    if isinstance(content, dict) and content.get("kind") == "List" and isinstance(content.get("items"), list):
        nodes = _items_of(node)
        for index, item in enumerate(content["items"]):
            below = nodes[index] if index < len(nodes) else node
            _sort_in((item, below.start_mark.line + 1 if below else line, below), path, documents, problems)
        return
    complaint = _complaint(content)
    twice = _duplicate(node)
    if complaint:
        problems.append(Problem(path, line, complaint))
    elif twice:
        problems.append(Problem(path, twice.start_mark.line + 1, f"key {twice.value!r} is already set in this mapping"))
    else:
        documents.append(Document(content, path, line, node))


def _complaint(content: Any) -> str:
    """Say what makes this no Kubernetes object, `""` if it is one."""
    if not isinstance(content, dict):
        return f"is not a Kubernetes object but a {_kind_of(content)}"
    for name in ("apiVersion", "kind"):
        if not isinstance(content.get(name), str) or not content[name]:
            return f"{name} is not set"
    if content["kind"] == "Kustomization":
        return "is a kustomization, not an object: apply the output of `kubectl kustomize`"
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        return f"{content['kind']}: metadata.name is not set"
    if not all(isinstance(metadata.get(name) or "", str) for name in ("name", "generateName", "namespace")):
        return f"{content['kind']}: metadata.name and metadata.namespace must be text; put the value in quotes"
    return ""


def _kind_of(content: Any) -> str:
    return "list" if isinstance(content, list) else "mapping" if isinstance(content, dict) else "single value"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: with text as keys."""
    if isinstance(value, dict):
        return {_key(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return {True: "true", False: "false", None: "null"}.get(key) or str(key)


def _items_of(node: yaml.Node | None) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return []
    items = next((value for key, value in node.value if key.value == "items"), None)
    return list(items.value) if isinstance(items, yaml.SequenceNode) else []


def _duplicate(node: yaml.Node | None) -> yaml.ScalarNode | None:
    """Return a key that stands twice in one mapping: the first of the two would be lost without a word."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, yaml.SequenceNode):
            waiting.extend(current.value)
        if isinstance(current, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in current.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen and key.value != "<<":
                        return key
                    seen.add(key.value)
                waiting.append(value)
    return None


def _line_of(node: yaml.Node, field_path: str) -> int:
    line = node.start_mark.line + 1
    for name, index in _STEP.findall(field_path):
        found = _child(node, name, index)
        if found is None:
            break
        node, line = found
    return line


def _child(node: yaml.Node, name: str, index: str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and index.isdigit() and int(index) < len(node.value):
        item = node.value[int(index)]
        return item, item.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == (name or index):
                return value, key.start_mark.line + 1
    return None

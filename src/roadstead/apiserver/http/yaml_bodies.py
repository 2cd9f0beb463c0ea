"""YAML in requests, read as Kubernetes reads it: into what JSON can say, and no more of it than was sent.

PyYAML makes dates, sets and bytes of what looks like them, and keys of any type; JSON has none of these. Aliases are
written out, but only so far: nine anchors of nine aliases each would become 387 million values
(sigs.k8s.io/yaml, and go-yaml's bound on aliases).
"""

import math
from typing import Any

import yaml

from roadstead.api.errors import BadRequest
from roadstead.lib.yaml_depth import DEEPEST, NestedTooDeeply, check_depth

_MOST_REPEATED = 100_000
_TOO_DEEP = BadRequest("the body of the request is nested too deeply")
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


def read_yaml(body: bytes) -> Any:
    """Return the one document in a body. Raises BadRequest that says what is wrong with it."""
    try:
        check_depth(body)
        loader = yaml.CSafeLoader(body)
        try:
            root = loader.get_single_node()
            return None if root is None else _Reader(loader).read(root, 0)
        finally:
            loader.dispose()
    except NestedTooDeeply:
        raise _TOO_DEEP from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _not_yaml(str(error)) from None


def _not_yaml(problem: str) -> BadRequest:
    return BadRequest(f"the body of the request is not YAML: {problem}")


class _Reader:
    """Makes JSON of the nodes of one document."""

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self._loader = loader
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._repeated = 0

    def read(self, node: yaml.Node, depth: int) -> Any:
        """Return the value of a node."""
        self._count(node, depth)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise _not_yaml("an anchor's value contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(entry, depth + 1) for entry in node.value]
            return self._mapping(node, depth)
        finally:
            self._open.discard(id(node))

    def _count(self, node: yaml.Node, depth: int) -> None:
        if depth > DEEPEST:
            raise _TOO_DEEP
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > _MOST_REPEATED:
            raise _not_yaml("the document contains excessive aliasing")

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, entry in node.value:
            if key.tag == _MERGE:
                sources = entry.value if isinstance(entry, yaml.SequenceNode) else [entry]
                for source in sources:
                    merged = {**self._merged(source, depth), **merged}
            else:
                own[self._key(key)] = self.read(entry, depth + 1)
        return {**merged, **own} if merged else own

    def _merged(self, source: yaml.Node, depth: int) -> dict[str, Any]:
        if not isinstance(source, yaml.MappingNode):
            raise _not_yaml("map merge requires map or sequence of maps as the value")
        found: dict[str, Any] = self.read(source, depth + 1)
        return found

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _not_yaml("a key must be text")
        if node.tag == f"{_TAG}bool":
            return str(self._scalar(node)).lower()
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        if node.tag == f"{_TAG}null":
            return None
        if node.tag == f"{_TAG}bool":
            return self._loader.construct_yaml_bool(node)
        if node.tag == f"{_TAG}int":
            return text if ":" in text else self._loader.construct_yaml_int(node)  # 1:30 is a number in YAML 1.1 only
        if node.tag == f"{_TAG}float" and ":" not in text:
            return self._float(node)
        return text

    def _float(self, node: yaml.ScalarNode) -> float:
        number: float = self._loader.construct_yaml_float(node)
        if not math.isfinite(number):
            raise _not_yaml(f"JSON has no number for {node.value}")
        return number

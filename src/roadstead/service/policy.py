"""The policy file: who may call which method.

    anonymous:                        # open to anybody, no credentials looked at
      - com.example.User/Login
    roles:                            # what a role may call
      viewer: [com.example.User/GetUser, com.example.User/WatchUsers]
      admin: ["com.example.User/*"]
      owner:
        - methods: [com.example.User/EditUser]
          when: {request: {user.id: "{identity}"}}       # `metadata:` works too
    identities:                       # who has which roles
      alice: [admin]
      bob: [viewer, owner]
    groups:                           # roles of everybody in a group (a claim of a token)
      staff: [viewer]

`parse_policy` turns it into the tables of `decision.py`, once, and names every fault with the place where it stands.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from roadstead.lib.yaml_depth import check_depth
from roadstead.service.conditions import IDENTITY, Condition, Scalar, Wanted
from roadstead.service.decision import Answer, Decision, Methods, Policy, Role, decide

__all__ = ["Answer", "Decision", "Methods", "Policy", "PolicyError", "Role", "decide", "parse_policy"]

METHOD = re.compile(r"[A-Za-z_][\w.]*/(?:[A-Za-z_]\w*|\*)", re.ASCII)
PLACEHOLDER = re.compile(r"\{\w*\}")
# gRPC's metadata keys, and names of fields in a .proto file joined by dots.
KEYS = {
    "metadata": re.compile(r"(?!.*-bin\Z)[0-9a-z_.-]+"),
    "request": re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII),
}
_EXPECTED_KEYS = {"metadata": "a lower-case metadata key that is not binary", "request": "a field such as user.id"}
SECTIONS = ("anonymous", "roles", "identities", "groups")


class PolicyError(ValueError):
    """A policy file that cannot be used. `faults` are what is wrong, each with its place in front (`roles.viewer: …`).

    `line` is where it is no YAML, counted from 1; 0 if that is not the fault, or unknown.
    """

    def __init__(self, faults: Iterable[str], line: int = 0) -> None:
        self.faults = tuple(faults)
        self.line = line
        super().__init__("; ".join(self.faults))


def parse_policy(content: bytes | str) -> Policy:
    """Read a policy file. Raise PolicyError (a ValueError) that lists every fault with the place where it stands."""
    try:
        check_depth(content)
        document = yaml.load(content, _UniqueKeys)  # noqa: S506  a SafeLoader with one more check
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # An explicit tag (`!!bool foo`) makes PyYAML's own constructors fail, in ways of their own.
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        raise PolicyError([f"not YAML: {error}"], mark.line + 1 if mark else 0) from error
    if document is None:
        return Policy()
    if not isinstance(document, dict):
        raise PolicyError([f"expected a mapping with the keys {', '.join(SECTIONS)}"])
    return _Reader().read(document)


class _UniqueKeys(yaml.CSafeLoader):
    """YAML's safe loader takes the last of two equal keys without a word; in a policy that hides a rule.

    Nor does it take merge keys: a few of them, one in the other, make a document of any size of a few lines.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Raise yaml.YAMLError if a mapping is to be merged with others."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            problem = "merge keys ('<<') are not taken in a policy"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping. Raises yaml.YAMLError if a key is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"key {key.value!r} is there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Reader:
    """Collects every fault of one document instead of stopping at the first."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    def read(self, document: Mapping[Any, Any]) -> Policy:
        for key in document:
            if key not in SECTIONS:
                self._faults.append(f"{key}: unknown; expected one of {', '.join(SECTIONS)}")
        roles = {name: self._role(f"roles.{name}", value) for name, value in self._mapping(document, "roles").items()}
        policy = Policy(
            anonymous=self._methods("anonymous", document.get("anonymous")),
            roles=roles,
            identities=self._grants(document, "identities", roles),
            groups=self._grants(document, "groups", roles),
        )
        if self._faults:
            raise PolicyError(self._faults)
        return policy

    def _grants(self, document: Mapping[Any, Any], section: str, roles: Iterable[str]) -> dict[str, tuple[str, ...]]:
        known = set(roles)
        grants = {}
        for name, value in self._mapping(document, section).items():
            wanted = self._strings(f"{section}.{name}", value)
            self._faults.extend(f"{section}.{name}: there is no role {role!r}" for role in wanted if role not in known)
            grants[name] = wanted
        return grants

    def _role(self, place: str, value: Any) -> Role:
        if not isinstance(value, list) or not any(isinstance(entry, dict) for entry in value):
            return Role(methods=self._methods(place, value))
        rules = []
        for number, entry in enumerate(value):
            if isinstance(entry, dict):
                rules.append(self._rule(f"{place}[{number}]", entry))
        return Role(
            methods=self._methods(place, [entry for entry in value if not isinstance(entry, dict)]),
            conditional=tuple(rules),
        )

    def _rule(self, place: str, entry: Mapping[Any, Any]) -> tuple[Methods, Condition]:
        self._faults.extend(
            f"{place}.{key}: unknown; expected methods and when" for key in entry if key not in ("methods", "when")
        )
        self._faults.extend(f"{place}: {key} is missing" for key in ("methods", "when") if not entry.get(key))
        return self._methods(f"{place}.methods", entry.get("methods")), self._condition(f"{place}.when", entry)

    def _condition(self, place: str, entry: Mapping[Any, Any]) -> Condition:
        when = entry.get("when") or {}
        if not isinstance(when, dict):
            self._faults.append(f"{place}: expected a mapping with metadata or request")
            return Condition()
        self._faults.extend(f"{place}.{key}: unknown; expected metadata or request" for key in when if key not in KEYS)
        metadata, request = (self._wanted(place, part, when.get(part)) for part in ("metadata", "request"))
        if when and not metadata and not request:
            self._faults.append(f"{place}: it names no condition")
        return Condition(metadata, request)

    def _wanted(self, place: str, part: str, value: Any) -> Wanted:
        if value is None:
            return ()
        if not isinstance(value, dict):
            self._faults.append(f"{place}.{part}: expected a mapping of names to values")
            return ()
        self._faults.extend(
            f"{place}.{part}: {key!r} is not {_EXPECTED_KEYS[part]}"
            for key in value
            if not isinstance(key, str) or not KEYS[part].fullmatch(key)
        )
        return tuple((str(key), self._values(f"{place}.{part}.{key}", part, each)) for key, each in value.items())

    def _values(self, place: str, part: str, value: Any) -> tuple[Scalar, ...]:
        values = value if isinstance(value, list) else [value]
        kinds = (str,) if part == "metadata" else (str, int, float)
        if not values or not all(isinstance(each, kinds) for each in values):
            expected = "a text, in quotes if it looks like a number" if part == "metadata" else "a text, number or bool"
            self._faults.append(f"{place}: expected {expected}, or a list of such")
            return ()
        self._faults.extend(
            f"{place}: there is no placeholder {each}; there is {IDENTITY}"
            for each in values
            if isinstance(each, str) and PLACEHOLDER.fullmatch(each) and each != IDENTITY
        )
        return tuple(values)

    def _methods(self, place: str, value: Any) -> Methods:
        patterns = self._strings(place, value)
        self._faults.extend(
            f"{place}: {pattern!r} is no method; write package.Service/Method or package.Service/*"
            for pattern in patterns
            if not METHOD.fullmatch(pattern)
        )
        return Methods(
            names=frozenset(pattern for pattern in patterns if not pattern.endswith("/*")),
            services=frozenset(pattern[:-2] for pattern in patterns if pattern.endswith("/*")),
        )

    def _mapping(self, document: Mapping[Any, Any], section: str) -> dict[str, Any]:
        value = document.get(section)
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(key, str) and key for key in value):
            return value
        self._faults.append(f"{section}: expected a mapping whose keys are names")
        return {}

    def _strings(self, place: str, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._faults.append(f"{place}: expected a list of names")
        return ()

"""Who may call which method: a file, and one pure decision.

    anonymous:                        # open to anybody, no credentials looked at
      - com.example.User/Login
    roles:                            # what a role may call
      viewer: [com.example.User/GetUser, com.example.User/WatchUsers]
      admin: ["com.example.User/*"]
    identities:                       # who has which roles
      alice: [admin]
      bob: [viewer]
    groups:                           # roles of everybody in a group (a claim of a token)
      staff: [viewer]

What is not allowed is denied; a method that the file does not name is denied to everybody. Health alone is always open:
Kubernetes' gRPC probes cannot send credentials. `parse_policy` turns the file into tables once, so that `decide` is a
few dictionary look-ups on every RPC.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import yaml

from roadstead.service.identity import Identity

Answer = Literal["allowed", "unauthenticated", "denied"]
_METHOD = re.compile(r"[A-Za-z_][\w.]*/(?:[A-Za-z_]\w*|\*)", re.ASCII)
_HEALTH = "grpc.health.v1.Health"
_SECTIONS = ("anonymous", "roles", "identities", "groups")


class Decision(msgspec.Struct, frozen=True):
    """An answer and its reason. The reason is for the log and for `explain`; a client is not told."""

    answer: Answer
    reason: str

    @property
    def allowed(self) -> bool:
        """True if the call may go on."""
        return self.answer == "allowed"


class Methods(msgspec.Struct, frozen=True):
    """A set of methods: full names and whole services."""

    names: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()

    def match(self, method: str) -> str | None:
        """Return the pattern that covers `package.Service/Method`, or None."""
        if method in self.names:
            return method
        service = method.partition("/")[0]
        return f"{service}/*" if service in self.services else None


class Policy(msgspec.Struct, frozen=True):
    """A policy file as tables. An empty one denies everything."""

    anonymous: Methods = Methods()
    roles: Mapping[str, Methods] = msgspec.field(default_factory=dict)
    identities: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def is_anonymous(self, method: str) -> bool:
        """Tell whether anybody may call `package.Service/Method` without credentials."""
        return self.open_pattern(method) is not None

    def open_pattern(self, method: str) -> str | None:
        """Return the pattern that opens a method to anybody, or None."""
        return f"{_HEALTH}/*" if method.startswith(_HEALTH + "/") else self.anonymous.match(method)


def decide(policy: Policy, identity: Identity | None, method: str) -> Decision:
    """Judge one call of `package.Service/Method`.

    Returns "allowed", "unauthenticated" (nobody vouches for the caller) or "denied" (the caller may not do this), with
    the rule that decided.
    """
    if pattern := policy.open_pattern(method):
        return Decision("allowed", f"anonymous: {pattern}")
    if identity is None:
        return Decision("unauthenticated", f"{method} needs credentials")
    roles = _roles_of(policy, identity)
    for role in roles:
        if pattern := policy.roles[role].match(method):
            return Decision("allowed", f"role {role}: {pattern}")
    if not roles:
        return Decision("denied", f"{identity.name} has no role")
    return Decision("denied", f"no role of {identity.name} ({', '.join(roles)}) names {method}")


def _roles_of(policy: Policy, identity: Identity) -> tuple[str, ...]:
    roles = policy.identities.get(identity.name, ())
    if not identity.groups:
        return roles
    more = (role for group in identity.groups for role in policy.groups.get(group, ()))
    return tuple(dict.fromkeys((*roles, *more)))


def parse_policy(content: bytes | str) -> Policy:
    """Read a policy file. Raise ValueError that lists every fault with the place where it stands."""
    try:
        document = yaml.load(content, _UniqueKeys)  # noqa: S506  a SafeLoader with one more check
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"not YAML: {error}") from error
    if document is None:
        return Policy()
    if not isinstance(document, dict):
        raise ValueError(f"expected a mapping with the keys {', '.join(_SECTIONS)}")
    return _Reader().read(document)


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader takes the last of two equal keys without a word; in a policy that hides a rule."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping. Raises yaml.YAMLError if a key is there twice."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Reader:
    """Collects every fault of one document instead of stopping at the first."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    def read(self, document: Mapping[Any, Any]) -> Policy:
        for key in document:
            if key not in _SECTIONS:
                self._faults.append(f"{key}: unknown; expected one of {', '.join(_SECTIONS)}")
        roles = {
            name: self._methods(f"roles.{name}", value) for name, value in self._mapping(document, "roles").items()
        }
        policy = Policy(
            anonymous=self._methods("anonymous", document.get("anonymous")),
            roles=roles,
            identities=self._grants(document, "identities", roles),
            groups=self._grants(document, "groups", roles),
        )
        if self._faults:
            raise ValueError("; ".join(self._faults))
        return policy

    def _grants(self, document: Mapping[Any, Any], section: str, roles: Iterable[str]) -> dict[str, tuple[str, ...]]:
        known = set(roles)
        grants = {}
        for name, value in self._mapping(document, section).items():
            wanted = self._strings(f"{section}.{name}", value)
            self._faults.extend(f"{section}.{name}: there is no role {role!r}" for role in wanted if role not in known)
            grants[name] = wanted
        return grants

    def _methods(self, place: str, value: Any) -> Methods:
        patterns = self._strings(place, value)
        self._faults.extend(
            f"{place}: {pattern!r} is no method; write package.Service/Method or package.Service/*"
            for pattern in patterns
            if not _METHOD.fullmatch(pattern)
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

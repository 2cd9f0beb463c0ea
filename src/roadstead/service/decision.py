"""Who may call which method: a policy as tables, and one pure decision. `policy.py` reads the tables from a file.

What is not allowed is denied; a method that no rule names is denied to everybody. Health alone is always open:
Kubernetes' gRPC probes cannot send credentials. `decide` is a few dictionary look-ups on every RPC.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from roadstead.service.conditions import Condition, describe, metadata_matches, request_matches
from roadstead.service.health_methods import SERVICE_NAME, is_health
from roadstead.service.identity import Identity

Answer = Literal["allowed", "unauthenticated", "denied", "depends"]
_UNSEEN = object()
NO_CREDENTIALS = "no credentials"


class Decision(msgspec.Struct, frozen=True):
    """An answer and its reason. The reason is for the log and for `explain`; a client is not told.

    `cause` is the reason in a few words of which a policy has only so many, for counting: "role viewer", "no rule".
    "depends" means that the request itself has to be seen: `decide` again with it.
    """

    answer: Answer
    reason: str
    cause: str

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
        if not self.services:
            return None
        service = method.partition("/")[0]
        return f"{service}/*" if service in self.services else None


class Role(msgspec.Struct, frozen=True):
    """What a role may call: always, and under conditions."""

    methods: Methods = Methods()
    conditional: tuple[tuple[Methods, Condition], ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """A policy file as tables. An empty one denies everything."""

    anonymous: Methods = Methods()
    roles: Mapping[str, Role] = msgspec.field(default_factory=dict)
    identities: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def is_anonymous(self, method: str) -> bool:
        """Tell whether anybody may call `package.Service/Method` without credentials."""
        return is_health(method) or self.anonymous.match(method) is not None

    def open_pattern(self, method: str) -> str | None:
        """Return the pattern that opens a method to anybody, or None."""
        return f"{SERVICE_NAME}/*" if is_health(method) else self.anonymous.match(method)


def decide(
    policy: Policy,
    identity: Identity | None,
    method: str,
    metadata: Iterable[tuple[str, str | bytes]] = (),
    request: Any = _UNSEEN,
) -> Decision:
    """Judge one call of `package.Service/Method`.

    Returns "allowed", "unauthenticated" (nobody vouches for the caller), "denied" (the caller may not do this) or, as
    long as no request is given, "depends" (a rule allows it for some requests); with the rule that decided.
    """
    if standing := standing_decision(policy, identity, method):
        return standing
    assert identity is not None  # without one that decision stands
    roles = _roles_of(policy, identity)
    judged = [
        _judge_rule(role, pattern, condition, identity, metadata, request)
        for role, pattern, condition in _conditional(policy, roles, method)
    ]
    if judged:
        return next((each for answer in ("allowed", "depends") for each in judged if each.answer == answer), judged[0])
    if not roles:
        return Decision("denied", f"{identity.name} has no role", "no role")
    return Decision("denied", f"no role of {identity.name} ({', '.join(roles)}) names {method}", "no rule")


def standing_decision(policy: Policy, identity: Identity | None, method: str) -> Decision | None:
    """Return the decision for which nothing counts but who calls which method; None if more has to be looked at.

    As long as the policy is in force it is the same for every such call, so it may be remembered.
    """
    if policy.is_anonymous(method):
        return Decision("allowed", f"anonymous: {policy.open_pattern(method)}", "anonymous")
    if identity is None:
        return Decision("unauthenticated", f"{method} needs credentials", NO_CREDENTIALS)
    for role in _roles_of(policy, identity):
        if pattern := policy.roles[role].methods.match(method):
            return Decision("allowed", f"role {role}: {pattern}", f"role {role}")
    return None


def misspelt(policy: Policy, services: Mapping[str, Container[str]]) -> tuple[str, ...]:
    """Return the methods that a policy names and that their services, if they are among `services`, do not have."""
    rules = [policy.anonymous]
    for role in policy.roles.values():
        rules += [role.methods, *(methods for methods, _ in role.conditional)]
    named = sorted({name for methods in rules for name in methods.names})
    return tuple(name for name in named if _is_missing(name, services))


def _is_missing(name: str, services: Mapping[str, Container[str]]) -> bool:
    service, _, method = name.partition("/")
    return service in services and method not in services[service]


def _conditional(policy: Policy, roles: Iterable[str], method: str) -> Iterator[tuple[str, str, Condition]]:
    for role in roles:
        for methods, condition in policy.roles[role].conditional:
            if pattern := methods.match(method):
                yield role, pattern, condition


def _judge_rule(
    role: str,
    pattern: str,
    condition: Condition,
    identity: Identity,
    metadata: Iterable[tuple[str, str | bytes]],
    request: Any,
) -> Decision:
    rule, cause = f"role {role}: {pattern}", f"role {role}"
    unmet = metadata_matches(condition, identity, metadata)
    if unmet is None and condition.request and request is _UNSEEN:
        return Decision("depends", f"{rule} if request {describe(condition, identity)}", cause)
    if unmet is None and condition.request:
        unmet = request_matches(condition, identity, request)
    if unmet is not None:
        return Decision("denied", f"{rule} only if {unmet}", f"{cause}, its condition")
    return Decision("allowed", f"{rule}, its condition holds", cause)


def _roles_of(policy: Policy, identity: Identity) -> tuple[str, ...]:
    roles = policy.identities.get(identity.name, ())
    more = (role for group in identity.groups for role in policy.groups.get(group, ()))
    return tuple(dict.fromkeys((*roles, *more)))

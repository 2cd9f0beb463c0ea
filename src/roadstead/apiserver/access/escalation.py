"""Nobody grants more than they have: the check on every write of roles and bindings.

Whoever writes a role must hold its rules, or may `escalate` that role; whoever binds one must hold its rules, or may
`bind` it (kubernetes pkg/registry/rbac: ConfirmNoEscalation, BindingAuthorized). Members of `system:masters` may all.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from roadstead.api.errors import Forbidden, not_found
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver.access.rbac import MASTERS, RBAC_GROUP, Attributes, Authorizer, Rule
from roadstead.apiserver.calls import Call, User

_ROLES = frozenset({"Role", "ClusterRole"})
_BINDINGS = frozenset({"RoleBinding", "ClusterRoleBinding"})
_EVERY = frozenset({"*"})
_NONE: frozenset[str] = frozenset()
_FULL_AUTHORITY = (Rule(_EVERY, _EVERY, _EVERY, _NONE, _NONE), Rule(_EVERY, _NONE, _NONE, _NONE, _EVERY))


class EscalationGuard:
    """Refuses roles and bindings that would give somebody what their writer does not have."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, call: Call, new: Object, old: Object | None) -> None:
        """Let a validated object of any kind pass, or raise Forbidden that names the rules its writer lacks."""
        resource = call.resource
        if resource.group != RBAC_GROUP or MASTERS in call.user.groups or _grants(new) == _grants(old):
            return
        if resource.kind in _ROLES:
            self._check_role(call, new, old)
        elif resource.kind in _BINDINGS:
            self._check_binding(call, new)

    def _check_role(self, call: Call, new: Object, old: Object | None) -> None:
        name = str(new["metadata"]["name"])
        if self._may(call.user, "escalate", call.resource.plural, call.namespace, name):
            return
        self._confirm(call, name, [Rule.of(rule) for rule in new.get("rules") or ()])
        if (_aggregates(new) or _aggregates(old or {})) and self._lacking(call, _FULL_AUTHORITY):
            raise _refusal(call, name, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, call: Call, new: Object) -> None:
        reference = new.get("roleRef") or {}
        plural = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        role = str(reference.get("name", ""))
        if self._may(call.user, "bind", plural, call.namespace, role):
            return
        rules = self._authorizer.rules_of_role(reference, call.namespace)
        if rules is None:
            raise not_found(plural, RBAC_GROUP, role)
        self._confirm(call, str(new["metadata"]["name"]), rules)

    def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        return self._authorizer.decide(user, Attributes(verb, RBAC_GROUP, plural, "", namespace, name)).allowed

    def _confirm(self, call: Call, name: str, rules: Iterable[Rule]) -> None:
        lacking = self._lacking(call, rules)
        if lacking:
            groups = " ".join(f'"{group}"' for group in call.user.groups)
            who = f'user "{call.user.name}" (groups=[{groups}])'
            problem = f"{who} is attempting to grant RBAC permissions not currently held:"
            raise _refusal(call, name, "\n".join([problem, *_described(lacking)]))

    def _lacking(self, call: Call, rules: Iterable[Rule]) -> list["_Grant"]:
        held = self._authorizer.rules(call.user, call.namespace)
        return [grant for rule in rules for grant in _grants_of(rule) if not any(_covers(own, grant) for own in held)]


class _Grant(NamedTuple):
    """One thing that a rule allows: a verb on a resource of a group, all of them or one by name, or on a path."""

    group: str
    resource: str
    path: str
    name: str
    verb: str


def _grants_of(rule: Rule) -> Iterator[_Grant]:
    names = sorted(rule.names) or [""]
    for group, resource, name, verb in product(sorted(rule.groups), sorted(rule.resources), names, sorted(rule.verbs)):
        yield _Grant(group, resource, "", name, verb)
    for path, verb in product(sorted(rule.paths), sorted(rule.verbs)):
        yield _Grant("", "", path, "", verb)


def _covers(rule: Rule, grant: _Grant) -> bool:
    """Say whether a rule that somebody holds allows all that would be granted."""
    if rule.verbs.isdisjoint({"*", grant.verb}):
        return False
    if grant.path:
        return any(path in ("*", grant.path) or _is_below(grant.path, path) for path in rule.paths)
    subresource = grant.resource.partition("/")[2]
    resources = {"*", grant.resource, f"*/{subresource}" if subresource else "*"}
    if rule.groups.isdisjoint({"*", grant.group}) or rule.resources.isdisjoint(resources):
        return False
    return not rule.names or grant.name in rule.names


def _is_below(path: str, pattern: str) -> bool:
    return pattern.endswith("*") and path.startswith(pattern[:-1])


def _described(lacking: Iterable[_Grant]) -> list[str]:
    """Return what is lacking, one line per resource, as Kubernetes prints rules."""
    verbs: dict[_Grant, list[str]] = {}
    for grant in lacking:
        verbs.setdefault(grant._replace(verb=""), []).append(f'"{grant.verb}"')
    return sorted(_line(grant, " ".join(found)) for grant, found in verbs.items())


def _line(grant: _Grant, verbs: str) -> str:
    if grant.path:
        return f'{{NonResourceURLs:["{grant.path}"], Verbs:[{verbs}]}}'
    names = f', ResourceNames:["{grant.name}"]' if grant.name else ""
    return f'{{APIGroups:["{grant.group}"], Resources:["{grant.resource}"]{names}, Verbs:[{verbs}]}}'


def _grants(obj: ReadOnlyObject | None) -> object:
    """Return what of a role or binding decides who may do what; a write that leaves it alone grants nothing."""
    if obj is None:
        return None
    return [obj.get(field) for field in ("rules", "aggregationRule", "roleRef", "subjects")]


def _aggregates(role: ReadOnlyObject) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _refusal(call: Call, name: str, problem: str) -> Forbidden:
    resource = call.resource
    qualified = f"{resource.plural}.{resource.group}"
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return Forbidden(f'{qualified} "{name}" is forbidden: {problem}', details)

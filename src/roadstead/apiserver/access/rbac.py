"""What a user may do: Roles and ClusterRoles, bound to users, groups and service accounts, evaluated for real.

The stored policy is compiled into sets when it is first asked after a change (kubernetes
plugin/pkg/auth/authorizer/rbac). Members of `system:masters` may do everything. Next: `reviews` tells clients.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.selectors import label_selector_from
from roadstead.apiserver.calls import User
from roadstead.apiserver.store import Event, Location, Store

MASTERS = "system:masters"
RBAC_GROUP = "rbac.authorization.k8s.io"
_COLLECTIONS = {
    name: f"{name}.{RBAC_GROUP}" for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
}


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do: a verb on a resource, or on a path that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def qualified(self) -> str:
        """The resource as rules name it: `pods`, or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One `PolicyRule`."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    paths: frozenset[str]

    @classmethod
    def of(cls, raw: ReadOnlyObject) -> "Rule":
        """Read a stored rule."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(frozenset(map(str, raw.get(field) or ())) for field in fields))

    def allows(self, wanted: Attributes) -> bool:
        """Say whether this rule allows what is wanted."""
        if "*" not in self.verbs and wanted.verb not in self.verbs:
            return False
        if wanted.path:
            return any(_path_matches(pattern, wanted.path) for pattern in self.paths)
        if "*" not in self.groups and wanted.group not in self.groups:
            return False
        return self._covers(wanted) and (not self.names or wanted.name in self.names)

    def _covers(self, wanted: Attributes) -> bool:
        candidates = {"*", wanted.qualified}
        if wanted.subresource:
            candidates.add(f"*/{wanted.subresource}")
        return not candidates.isdisjoint(self.resources)

    def show(self) -> tuple[Object | None, Object | None]:
        """Return the rule as a ResourceRule and as a NonResourceRule of a SelfSubjectRulesReview."""
        verbs = sorted(self.verbs)
        resource: Object | None = None
        if self.resources:
            resource = {"verbs": verbs, "apiGroups": sorted(self.groups), "resources": sorted(self.resources)}
            if self.names:
                resource["resourceNames"] = sorted(self.names)
        other: Object | None = {"verbs": verbs, "nonResourceURLs": sorted(self.paths)} if self.paths else None
        return resource, other


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in {"*", path} or (pattern.endswith("*") and path.startswith(pattern[:-1]))


@dataclass(frozen=True, slots=True)
class _Binding:
    namespace: str
    subjects: Mapping[tuple[str, str], str]
    """Whom it binds, and how that is told."""
    rules: tuple[Rule, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and by which binding."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides by the RBAC objects in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bindings: tuple[_Binding, ...] | None = None
        store.subscribe(self._observe)

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Say whether a user may do something."""
        if MASTERS in user.groups:
            return Decision(True)
        for binding in self._bindings_of(user, wanted.namespace):
            if any(rule.allows(wanted) for rule in binding.rules):
                return Decision(True, f"RBAC: allowed by {binding.label} to {_bound(binding, user)}")
        return Decision(False)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Return every rule that holds for a user in a namespace."""
        found = [rule for binding in self._bindings_of(user, namespace) for rule in binding.rules]
        if MASTERS in user.groups:
            every = frozenset({"*"})
            none: frozenset[str] = frozenset()
            found = [Rule(every, every, every, none, none), Rule(every, none, none, none, every), *found]
        return list(dict.fromkeys(found))

    def rules_of_role(self, reference: ReadOnlyObject, namespace: str) -> list[Rule] | None:
        """Return the rules of the role that a `roleRef` in a namespace names, None if there is no such role."""
        cluster_roles = _cluster_roles(self._store)
        name = str(reference.get("name", ""))
        if reference.get("kind") == "ClusterRole":
            role = cluster_roles.get(name)
        else:
            record = self._store.get(Location(_COLLECTIONS["roles"], namespace, name))
            role = record.decode() if record is not None else None
        return None if role is None else list(_rules(role, cluster_roles))

    def _bindings_of(self, user: User, namespace: str) -> Iterator[_Binding]:
        if self._bindings is None:
            self._bindings = tuple(_compile(self._store))
        subjects = _memberships(user)
        for binding in self._bindings:
            if binding.namespace in {"", namespace} and not subjects.isdisjoint(binding.subjects):
                yield binding

    def _observe(self, event: Event) -> None:
        if event.record.location.collection in _COLLECTIONS.values():
            self._bindings = None


def _memberships(user: User) -> set[tuple[str, str]]:
    return {("User", user.name), *(("Group", group) for group in user.groups)}


def _bound(binding: _Binding, user: User) -> str:
    """Return as which of its subjects a binding means a user."""
    mine = _memberships(user)
    return next(told for subject, told in binding.subjects.items() if subject in mine)


def _cluster_roles(store: Store) -> dict[str, Object]:
    return {record.location.name: record.decode() for record in store.records(_COLLECTIONS["clusterroles"])}


def _compile(store: Store) -> Iterator[_Binding]:
    stored = {name: [record.decode() for record in store.records(place)] for name, place in _COLLECTIONS.items()}
    cluster_roles = _cluster_roles(store)
    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]): role for role in stored["roles"]}
    for binding in stored["clusterrolebindings"]:
        role = cluster_roles.get((binding.get("roleRef") or {}).get("name", ""))
        yield _binding(binding, _rules(role, cluster_roles))
    for binding in stored["rolebindings"]:
        reference = binding.get("roleRef") or {}
        name, namespace = reference.get("name", ""), binding["metadata"]["namespace"]
        role = cluster_roles.get(name) if reference.get("kind") == "ClusterRole" else roles.get((namespace, name))
        yield _binding(binding, _rules(role, cluster_roles))


def _rules(role: ReadOnlyObject | None, cluster_roles: Mapping[str, Object]) -> tuple[Rule, ...]:
    """Return a role's rules; one that aggregates has the rules of all that its selectors choose."""
    if role is None:
        return ()
    own = list(role.get("rules") or ())
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        chosen = label_selector_from(selector)
        for other in cluster_roles.values():
            if other is not role and chosen.matches(other["metadata"].get("labels") or {}):
                own += other.get("rules") or ()
    return tuple(Rule.of(raw) for raw in own)


def _binding(raw: ReadOnlyObject, rules: tuple[Rule, ...]) -> _Binding:
    metadata = raw["metadata"]
    namespace = metadata.get("namespace", "")
    place = f"{metadata['name']}/{namespace}" if namespace else metadata["name"]
    role = raw.get("roleRef") or {}
    label = f'{raw["kind"]} "{place}" of {role.get("kind")} "{role.get("name")}"'
    return _Binding(namespace, dict(_subjects(raw.get("subjects") or (), namespace)), rules, label)


def _subjects(raw: Iterable[ReadOnlyObject], namespace: str) -> Iterator[tuple[tuple[str, str], str]]:
    for subject in raw:
        kind, name = str(subject.get("kind")), str(subject.get("name"))
        if kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            yield ("User", f"system:serviceaccount:{home}:{name}"), f'{kind} "{name}/{home}"'
        else:
            yield (kind, name), f'{kind} "{name}"'

"""Questions about identity and permission: `kubectl auth whoami`, `auth can-i`, and what services ask about others.

These kinds are never stored: a POST is answered with its own `status`. They tell what `authentication` and `rbac` do.
"""

from collections.abc import Callable

from roadstead.api.errors import BadRequest, invalid
from roadstead.api.objects import Object
from roadstead.apiserver import causes
from roadstead.apiserver.access.authentication import Authenticator
from roadstead.apiserver.access.rbac import Attributes, Authorizer, Decision
from roadstead.apiserver.calls import User
from roadstead.apiserver.causes import Causes

_ABOUT_THE_CALLER = frozenset({"SelfSubjectReview", "SelfSubjectRulesReview"})


class Reviews:
    """Answers the review kinds."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._answers: dict[str, Callable[[Object, User, str], Object]] = {
            "SelfSubjectReview": lambda spec, user, namespace: {"userInfo": user_info(user)},
            "SelfSubjectAccessReview": lambda spec, user, namespace: self._access(spec, user),
            "SelfSubjectRulesReview": lambda spec, user, namespace: self._rules(spec, user),
            "SubjectAccessReview": lambda spec, user, namespace: self._access(spec, _subject(spec)),
            "LocalSubjectAccessReview": lambda spec, user, namespace: self._access(spec, _subject(spec)),
            "TokenReview": lambda spec, user, namespace: self._token(spec),
        }

    def answers(self, kind: str) -> bool:
        """Say whether this kind is a review."""
        return kind in self._answers

    def answer(self, kind: str, review: Object, user: User, namespace: str) -> Object:
        """Return the review, whose types are right, with its status. Raises Invalid if it asks nothing."""
        spec = review.get("spec") or {}
        problems = _problems(kind, review["metadata"], spec)
        if problems:
            raise invalid("", review["apiVersion"].partition("/")[0], "", problems)
        status = self._answers[kind](spec, user, namespace)
        if kind in _ABOUT_THE_CALLER:  # nothing of the question is told again
            return {**review, "metadata": {}, "status": status} | ({"spec": {}} if kind.endswith("RulesReview") else {})
        return {**review, "spec": spec, "status": status}

    def _access(self, spec: Object, user: User) -> Object:
        decision = self._decide(spec, user)
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _decide(self, spec: Object, user: User) -> Decision:
        wanted = spec.get("resourceAttributes")
        if wanted is None:
            other = spec.get("nonResourceAttributes") or {}
            return self._authorizer.decide(user, Attributes(other.get("verb", ""), path=other.get("path", "") or "/"))
        attributes = Attributes(
            wanted.get("verb", ""),
            wanted.get("group", ""),
            wanted.get("resource", ""),
            wanted.get("subresource", ""),
            wanted.get("namespace", ""),
            wanted.get("name", ""),
        )
        return self._authorizer.decide(user, attributes)

    def _rules(self, spec: Object, user: User) -> Object:
        if not spec.get("namespace"):
            raise BadRequest("no namespace on request")
        shown = [rule.show() for rule in self._authorizer.rules(user, spec["namespace"])]
        return {
            "resourceRules": [resource for resource, _ in shown if resource is not None],
            "nonResourceRules": [other for _, other in shown if other is not None],
            "incomplete": False,
        }

    def _token(self, spec: Object) -> Object:
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        audiences = list(spec.get("audiences") or ()) or [self._authenticator.audience]
        found = self._authenticator.for_audiences(str(spec["token"]), audiences)
        if found is None:
            return {"error": "invalid bearer token", "user": {}}
        user, shared = found
        return {"authenticated": True, "user": user_info(user), "audiences": shared}


def _problems(kind: str, metadata: Object, spec: Object) -> Causes:
    """Return what is wrong with a question (kubernetes pkg/apis/authorization/validation)."""
    if not kind.endswith("SubjectAccessReview"):
        return []
    found: Causes = []
    about = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"))
    if about.count(None) != 1:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(causes.invalid("spec", _path_wanted(about[1]), detail))
    if not kind.startswith("Self") and not spec.get("user") and not spec.get("groups"):
        found.append(causes.invalid("spec.user", "", "at least one of user or group must be specified"))
    for selector in ("fieldSelector", "labelSelector"):
        found += _of_selector(f"spec.resourceAttributes.{selector}", (about[0] or {}).get(selector) or {})
    local = kind.startswith("Local")
    if set(metadata) - ({"namespace", "managedFields"} if local else {"managedFields"}):
        detail = "must be empty except for namespace" if local else "must be empty"
        found.append(causes.invalid("metadata", metadata, detail))
    return found + (_of_local(metadata["namespace"], *about) if local else [])


def _of_selector(field: str, selector: Object) -> Causes:
    raw = selector.get("rawSelector")
    if raw and selector.get("requirements"):
        return [causes.invalid(f"{field}.rawSelector", raw, "may not specified at the same time as requirements")]
    return []


def _of_local(namespace: str, wanted: Object | None, other: Object | None) -> Causes:
    found: Causes = []
    asked = (wanted or {}).get("namespace") or ""
    if wanted is not None and asked != namespace:
        found.append(causes.invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace"))
    if other is not None:
        detail = "disallowed on this kind of request"
        found.append(causes.invalid("spec.nonResourceAttributes", _path_wanted(other), detail))
    return found


def _path_wanted(attributes: Object | None) -> Object | None:
    """Return a question about a path as Kubernetes tells it: in the names of its own fields."""
    return attributes and {"Path": attributes.get("path") or "", "Verb": attributes.get("verb") or ""}


def user_info(user: User) -> Object:
    """Return a user as `authentication.k8s.io/v1` UserInfo."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = user.extra
    return info


def _subject(spec: Object) -> User:
    return User(str(spec.get("user") or ""), tuple(spec.get("groups") or ()), str(spec.get("uid") or ""))

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


class Reviews:
    """Answers the review kinds."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._answers: dict[str, Callable[[Object, User, str], Object]] = {
            "SelfSubjectReview": lambda spec, user, namespace: {"userInfo": user_info(user)},
            "SelfSubjectAccessReview": lambda spec, user, namespace: self._access(spec, user, ""),
            "SelfSubjectRulesReview": lambda spec, user, namespace: self._rules(spec, user),
            "SubjectAccessReview": lambda spec, user, namespace: self._access(spec, _subject(spec), ""),
            "LocalSubjectAccessReview": lambda spec, user, namespace: self._access(spec, _subject(spec), namespace),
            "TokenReview": lambda spec, user, namespace: self._token(spec),
        }

    def answers(self, kind: str) -> bool:
        """Say whether this kind is a review."""
        return kind in self._answers

    def answer(self, kind: str, review: Object, user: User, namespace: str) -> Object:
        """Return the review, whose types are right, with its status. Raises Invalid if it asks nothing."""
        spec = review.get("spec") or {}
        problems = _problems(kind, spec)
        if problems:
            raise invalid(kind, review["apiVersion"].partition("/")[0], "", problems)
        shown = review if kind == "SelfSubjectReview" else {**review, "spec": spec}
        return {**shown, "status": self._answers[kind](spec, user, namespace)}

    def _access(self, spec: Object, user: User, namespace: str) -> Object:
        decision = self._decide(spec, user, namespace)
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _decide(self, spec: Object, user: User, namespace: str) -> Decision:
        wanted = spec.get("resourceAttributes")
        if wanted is None:
            other = spec.get("nonResourceAttributes") or {}
            return self._authorizer.decide(user, Attributes(other.get("verb", ""), path=other.get("path", "") or "/"))
        if namespace and wanted.get("namespace") != namespace:
            raise BadRequest("spec.resourceAttributes.namespace: must match metadata.namespace")
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
        shown = [rule.show() for rule in self._authorizer.rules(user, spec.get("namespace") or "default")]
        return {
            "resourceRules": [resource for resource, _ in shown if resource is not None],
            "nonResourceRules": [other for _, other in shown if other is not None],
            "incomplete": False,
        }

    def _token(self, spec: Object) -> Object:
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        user = self._authenticator.by_token(str(spec.get("token") or ""), tuple(spec.get("audiences") or ()))
        if user is None:
            return {"authenticated": False, "error": "the token is not valid", "user": {}}
        return {"authenticated": True, "user": user_info(user), "audiences": list(spec.get("audiences") or ())}


def _problems(kind: str, spec: Object) -> Causes:
    """Return what is wrong with a question (kubernetes pkg/apis/authorization/validation)."""
    if not kind.endswith("SubjectAccessReview"):
        return []
    found: Causes = []
    about = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"))
    if about.count(None) != 1:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(causes.invalid("spec.resourceAttributes", about[1], detail))
    if not kind.startswith("Self") and not spec.get("user") and not spec.get("groups"):
        found.append(causes.invalid("spec.user", "", "at least one of user or group must be specified"))
    return found


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

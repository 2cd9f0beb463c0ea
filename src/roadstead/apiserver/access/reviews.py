"""Questions about identity and permission: `kubectl auth whoami`, `auth can-i`, and what services ask about others.

These kinds are never stored: a POST is answered with its own `status`. They tell what `authentication` and `rbac` do.
"""

from collections.abc import Callable

from roadstead.api.errors import BadRequest
from roadstead.api.objects import Object
from roadstead.apiserver.access.authentication import Authenticator
from roadstead.apiserver.access.rbac import Attributes, Authorizer, Decision
from roadstead.apiserver.calls import User


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
        """Return the review with its status. Raises BadRequest if its spec is none."""
        spec = review.get("spec") or {}
        if not isinstance(spec, dict):
            raise BadRequest("spec: expected an object")
        return {**review, "status": self._answers[kind](spec, user, namespace)}

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
        user = self._authenticator.by_token(str(spec.get("token") or ""), tuple(spec.get("audiences") or ()))
        if user is None:
            return {"authenticated": False, "error": "the token is not valid", "user": {}}
        return {"authenticated": True, "user": user_info(user), "audiences": list(spec.get("audiences") or ())}


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

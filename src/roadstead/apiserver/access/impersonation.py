"""`kubectl --as`: acting as somebody else, for those who may (apiserver's pkg/endpoints/filters/impersonation)."""

from starlette.types import Scope

from roadstead.api.errors import Forbidden
from roadstead.apiserver.access.authentication import authenticated
from roadstead.apiserver.access.rbac import Attributes, Authorizer
from roadstead.apiserver.access.tokens import service_account_user
from roadstead.apiserver.calls import User
from roadstead.apiserver.http.exchange import header, headers

_ACCOUNT = "system:serviceaccount:"


def impersonated(scope: Scope, user: User, authorizer: Authorizer) -> User:
    """Return the user that a request wants to act as, or the caller. Raises Forbidden if that is not allowed."""
    name = header(scope, b"impersonate-user")
    groups = headers(scope, b"impersonate-group")
    if not name:
        if groups:
            raise Forbidden("impersonating a group needs a user to impersonate")
        return user
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.removeprefix(_ACCOUNT).split(":")
        _require(authorizer, user, Attributes("impersonate", "", "serviceaccounts", "", namespace, account))
        target = service_account_user(namespace, account)
    else:
        _require(authorizer, user, Attributes("impersonate", "", "users", name=name))
        target = User(name)
    for group in groups:
        _require(authorizer, user, Attributes("impersonate", "", "groups", name=group))
    return authenticated(User(target.name, tuple(groups) or target.groups))


def _require(authorizer: Authorizer, user: User, wanted: Attributes) -> None:
    if not authorizer.decide(user, wanted).allowed:
        raise Forbidden(
            f'{wanted.resource} "{wanted.name}" is forbidden: User "{user.name}" cannot impersonate resource '
            f'"{wanted.resource}" in API group "" at the cluster scope'
        )

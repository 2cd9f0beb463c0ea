"""`kubectl --as`: acting as somebody else, for those who may (apiserver's pkg/endpoints/filters/impersonation)."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from starlette.types import Scope

from roadstead.api.errors import BadRequest, Forbidden
from roadstead.apiserver.access.authentication import ANONYMOUS, AUTHENTICATED
from roadstead.apiserver.access.rbac import Attributes, Authorizer
from roadstead.apiserver.access.tokens import service_account_user
from roadstead.apiserver.calls import User
from roadstead.apiserver.causes import printed
from roadstead.apiserver.http.exchange import header, headers

_ACCOUNT = "system:serviceaccount:"
_GROUP = "authentication.k8s.io"
_EXTRA = b"impersonate-extra-"


def impersonated(scope: Scope, user: User, authorizer: Authorizer) -> User:
    """Return the user that a request wants to act as, or the caller. Raises Forbidden if that is not allowed."""
    name, uid = header(scope, b"impersonate-user"), header(scope, b"impersonate-uid")
    groups, extra = headers(scope, b"impersonate-group"), _extra(scope)
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"requested {_told(uid, groups, extra)} without impersonating a user name")
        return user
    target = User(name)
    wanted = [Attributes("impersonate", "", "users", name=name)]
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.removeprefix(_ACCOUNT).split(":")
        wanted = [Attributes("impersonate", "", "serviceaccounts", "", namespace, account)]
        target = service_account_user(namespace, account)
    wanted += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    wanted += [Attributes("impersonate", _GROUP, "uids", name=uid)] if uid else []
    wanted += [
        Attributes("impersonate", _GROUP, "userextras", key, name=value)
        for key, values in extra.items()
        for value in values
    ]
    for attributes in wanted:
        _require(authorizer, user, attributes)
    return User(name, _with_everybody(name, tuple(groups) or target.groups), uid, extra)


def _extra(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in scope["headers"]:
        if key.startswith(_EXTRA):
            found.setdefault(unquote(str(key[len(_EXTRA) :], "latin-1")).lower(), []).append(str(value, "latin-1"))
    return found


def _with_everybody(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Add the group of all who are known, or of all who are not, if no such group is asked for."""
    unknown = ANONYMOUS.groups[0]
    if name == ANONYMOUS.name:
        return groups if unknown in groups else (*groups, unknown)
    return groups if {AUTHENTICATED, unknown} & set(groups) else (*groups, AUTHENTICATED)


def _told(uid: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]) -> str:
    """Return who is asked for as Go prints it."""
    listed = ", ".join(f"{printed(key)}:{_strings(values)}" for key, values in sorted(extra.items()))
    more = f"map[string][]string{{{listed}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{printed(uid)}, Groups:{_strings(groups)}, Extra:{more}}}'


def _strings(values: Sequence[str]) -> str:
    return f"[]string{{{', '.join(map(printed, values))}}}" if values else "[]string(nil)"


def _require(authorizer: Authorizer, user: User, wanted: Attributes) -> None:
    if not authorizer.decide(user, wanted).allowed:
        raise Forbidden(
            f'{wanted.resource} "{wanted.name}" is forbidden: User "{user.name}" cannot impersonate resource '
            f'"{wanted.qualified}" in API group "{wanted.group}" at the cluster scope'
        )

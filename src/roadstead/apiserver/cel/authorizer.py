"""Asking in CEL who may do what: `authorizer.group('apps').resource('deployments').check('create').allowed()`.

The types and methods of apiserver's pkg/cel/library/authz.go. Who decides is the business of those who give a rule its
variable `authorizer`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from roadstead.apiserver.cel.functions import CelError, NoOverload

T = TypeVar("T")


class Wanted(NamedTuple):
    """What is asked for: a verb on a resource, or on a path. `account` is the service account that would do it."""

    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    account: tuple[str, str] | None = None


class Answer(NamedTuple):
    """Whether it is allowed, and why."""

    allowed: bool
    reason: str = ""


Decide = Callable[[Wanted], Answer]


@dataclass(frozen=True, slots=True)
class _Check:
    """A question on its way: `stage` is the CEL type that it has reached."""

    stage: str
    wanted: Wanted
    decide: Decide

    def at(self, stage: str, **known: Any) -> "_Check":
        return replace(self, stage=stage, wanted=self.wanted._replace(**known))


class Authorizer(dict[str, Any]):
    """The variable `authorizer`; its one field is `requestResource`, a question about the request's own resource."""

    def __init__(self, decide: Decide, request_resource: Wanted) -> None:
        super().__init__(requestResource=_Check("resource", request_resource, decide))
        self.start = _Check("authorizer", Wanted(), decide)


def _is(stage: str, value: Any) -> _Check:
    found = value.start if isinstance(value, Authorizer) else value
    if not isinstance(found, _Check) or found.stage != stage:
        raise NoOverload
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise NoOverload
    return value


def _path(authorizer: Any, path: Any) -> _Check:
    if not _text(path).strip():
        raise CelError("path must not be empty")
    return _is("authorizer", authorizer).at("path", path=path)


def _group(authorizer: Any, group: Any) -> _Check:
    return _is("authorizer", authorizer).at("group", group=_text(group))


def _service_account(authorizer: Any, namespace: Any, name: Any) -> _Check:
    return _is("authorizer", authorizer).at("authorizer", account=(_text(namespace), _text(name)))


def _resource(group: Any, resource: Any) -> _Check:
    if not _text(resource).strip():
        raise CelError("resource must not be empty")
    return _is("group", group).at("resource", resource=resource)


def _narrowed(field: str) -> Callable[[Any, Any], _Check]:
    def narrow(check: Any, value: Any) -> _Check:
        return _is("resource", check).at("resource", **{field: _text(value)})

    return narrow


def _selected(check: Any, selector: Any) -> _Check:
    # RBAC knows nothing of selectors: what is allowed with one is what is allowed without.
    _text(selector)
    return _is("resource", check)


def _asked(check: Any, verb: Any) -> Answer:
    if not isinstance(check, _Check) or check.stage not in ("path", "resource"):
        raise NoOverload
    return check.decide(check.wanted._replace(verb=_text(verb)))


def _of_answer(read: Callable[[Answer], T]) -> Callable[[Any], T]:
    def apply(answer: Any) -> T:
        if not isinstance(answer, Answer):
            raise NoOverload
        return read(answer)

    return apply


METHODS: dict[str, Callable[..., Any]] = {
    "allowed": _of_answer(lambda answer: answer.allowed),
    "check": _asked,
    "error": _of_answer(lambda _: ""),
    "errored": _of_answer(lambda _: False),
    "fieldSelector": _selected,
    "group": _group,
    "labelSelector": _selected,
    "name": _narrowed("name"),
    "namespace": _narrowed("namespace"),
    "path": _path,
    "reason": _of_answer(lambda answer: answer.reason),
    "resource": _resource,
    "serviceAccount": _service_account,
    "subresource": _narrowed("subresource"),
}

"""What a policy has against a request: its conditions, variables and validations, evaluated. Pure.

The words are those of apiserver's pkg/admission/plugin/policy/validating and pkg/admission/plugin/cel. One budget pays
for all policies of a request, so that no number of them can keep the server from its other clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roadstead.apiserver.admission.policies.policy import Expression, Policy, Validation
from roadstead.apiserver.cel import Budget, CelError, CostExceeded

_EXHAUSTED = "validation failed due to running out of cost budget, no further validation rules will be run"
_LONGEST_MESSAGE = 5 * 1024
Facts = Mapping[str, Any]
"""The variables of CEL: `object`, `oldObject`, `request`, `params`, `namespaceObject`, `authorizer`."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is refused. `reason` is a `StatusReason`; empty means Invalid."""

    message: str
    reason: str = ""


class _NoValue(Exception):
    """An expression has no value; the text says why."""


def denials(policy: Policy, facts: Facts, budget: Budget) -> list[Denial]:
    """Return what a policy has against a request. What cannot be evaluated counts as its failurePolicy says."""
    try:
        if not _meets(policy, facts, budget):
            return []
        whole = {**facts, "variables": _Composed(policy.variables, facts, budget)}
        found = [_denial(policy, validation, whole, budget) for validation in policy.validations]
    except _NoValue as failure:
        return [Denial(str(failure))] if policy.closed else []
    except CostExceeded:
        return [Denial(_EXHAUSTED)] if policy.closed else []
    return [denial for denial in found if denial is not None]


def _meets(policy: Policy, facts: Facts, budget: Budget) -> bool:
    """Say whether all conditions hold. One that is false decides, whatever is wrong with others. Raises _NoValue."""
    failures = []
    for condition in policy.conditions:
        try:
            # Of namespaces, conditions know nothing.
            if _value(condition, {**facts, "namespaceObject": None}, budget) is False:
                return False
        except _NoValue as failure:
            failures.append(str(failure))
    if failures:
        raise _NoValue(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
    return True


def _denial(policy: Policy, validation: Validation, facts: Facts, budget: Budget) -> Denial | None:
    try:
        if _value(validation.holds, facts, budget) is True:
            return None
    except _NoValue as failure:
        return Denial(str(failure)) if policy.closed else None
    return Denial(_message(validation, facts, budget), validation.reason)


def _message(validation: Validation, facts: Facts, budget: Budget) -> str:
    said = ""
    if validation.message_expression is not None:
        try:
            value = _value(validation.message_expression, facts, budget)
            said = value.strip() if isinstance(value, str) else ""
        except _NoValue:
            said = ""
        if len(said.encode("utf-8", "surrogatepass")) > _LONGEST_MESSAGE or "\n" in said:
            said = ""
    return said or validation.message or f"failed expression: {validation.holds.text.strip()}"


def _value(expression: Expression, facts: Facts, budget: Budget) -> Any:
    """Return an expression's value. Raises _NoValue, or CostExceeded."""
    if expression.program is None:
        raise _NoValue(f"compilation error: {expression.problem}")
    try:
        return expression.program(budget, **facts)
    except CelError as error:
        raise _NoValue(f"expression '{expression.text}' resulted in error: {error}") from error


class _Composed(dict[str, Any]):
    """The variable `variables`: each of a policy's own ones is evaluated when it is first asked for, and then kept."""

    def __init__(self, expressions: Mapping[str, Expression], facts: Facts, budget: Budget) -> None:
        super().__init__()
        self._expressions = expressions
        self._facts = {**facts, "variables": self}
        self._budget = budget
        self._asked: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        if name in self._asked:
            raise CelError(f"no such key: {name}")  # it needs itself
        self._asked.add(name)
        try:
            value = self[name] = _value(self._expressions[name], self._facts, self._budget)
        except _NoValue as failure:
            raise CelError(f'composited variable "{name}" fails to evaluate: {failure}') from failure
        return value

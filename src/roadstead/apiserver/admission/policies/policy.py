"""What a ValidatingAdmissionPolicy and its bindings say, read once: expressions compiled, defaults filled in.

`names_for` tells which variables each kind of expression may name. Next: `matching`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver.cel import CelSyntaxError, Program, compile_rule

_ALWAYS = frozenset({"object", "oldObject", "request", "namespaceObject"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A CEL expression; `problem` says why there is no program."""

    text: str
    program: Program | None
    problem: str = ""


@lru_cache(4096)
def compiled(text: str, names: frozenset[str]) -> Expression:
    """Compile an expression over variables of these names. What cannot be compiled says why."""
    try:
        return Expression(text, compile_rule(text, names))
    except CelSyntaxError as error:
        return Expression(text, None, str(error))


def names_for(spec: ReadOnlyObject, *, authorizer: bool = True, variables: bool = True) -> frozenset[str]:
    """Return the variables that expressions of a policy may name; `params` only if it says of which kind they are."""
    found = _ALWAYS | ({"params"} if spec.get("paramKind") is not None else frozenset())
    return found | ({"authorizer"} if authorizer else frozenset()) | ({"variables"} if variables else frozenset())


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule of a policy, and what a refused caller is told."""

    holds: Expression
    message: str
    message_expression: Expression | None
    reason: str

    @classmethod
    def of(cls, raw: ReadOnlyObject, spec: ReadOnlyObject) -> "Validation":
        """Read an entry of `spec.validations`."""
        told = raw.get("messageExpression")
        return cls(
            holds=compiled(raw.get("expression") or "", names_for(spec)),
            message=(raw.get("message") or "").strip(),
            message_expression=compiled(told, names_for(spec, authorizer=False)) if told else None,
            reason=raw.get("reason") or "",
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A ValidatingAdmissionPolicy. `closed` says that what cannot be evaluated is denied (failurePolicy Fail)."""

    name: str
    closed: bool
    constraints: ReadOnlyObject
    param_kind: tuple[str, str] | None
    conditions: tuple[Expression, ...]
    variables: Mapping[str, Expression]
    validations: tuple[Validation, ...]

    @classmethod
    def of(cls, obj: ReadOnlyObject) -> "Policy":
        """Read a stored object."""
        spec = obj.get("spec") or {}
        kind = spec.get("paramKind")
        bare = names_for(spec, variables=False)
        return cls(
            name=str(obj["metadata"]["name"]),
            closed=spec.get("failurePolicy") != "Ignore",
            constraints=spec.get("matchConstraints") or {},
            param_kind=(str(kind.get("apiVersion")), str(kind.get("kind"))) if kind is not None else None,
            conditions=tuple(
                compiled(each.get("expression") or "", bare) for each in spec.get("matchConditions") or ()
            ),
            variables={
                each.get("name") or "": compiled(each.get("expression") or "", names_for(spec))
                for each in spec.get("variables") or ()
            },
            validations=tuple(Validation.of(each, spec) for each in spec.get("validations") or ()),
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding: where a policy is in force, with which parameters, and what follows."""

    name: str
    policy: str
    actions: frozenset[str]
    param_ref: ReadOnlyObject | None
    resources: ReadOnlyObject | None

    @classmethod
    def of(cls, obj: ReadOnlyObject) -> "Binding":
        """Read a stored object."""
        spec = obj.get("spec") or {}
        return cls(
            name=str(obj["metadata"]["name"]),
            policy=str(spec.get("policyName") or ""),
            actions=frozenset(spec.get("validationActions") or ()),
            param_ref=spec.get("paramRef"),
            resources=spec.get("matchResources"),
        )

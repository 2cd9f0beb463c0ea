"""The CEL rules of a schema (`x-kubernetes-validations`), evaluated wherever an object has what they are about.

A rule that mentions `oldSelf` is about a change: it runs only where there was a value before, in objects and in lists
whose entries have keys. Rules that cannot be compiled here are not evaluated; `unsupported_rules` names them. A rule
that costs too much for an object is given up, and the object refused: nothing that is written keeps others waiting.
"""

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import structlog

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Cause, Causes
from roadstead.apiserver.cel import (
    EVALUATION_LIMIT,
    OBJECT_LIMIT,
    Budget,
    CelError,
    CelSyntaxError,
    CostExceeded,
    NoOverload,
    Program,
    compile_rule,
)
from roadstead.apiserver.schemas.structure import MISSING, Schema

_log = structlog.get_logger(__name__)
_MAX_DEPTH = 150


@lru_cache(4096)
def _program(rule: str) -> Program | None:
    try:
        return compile_rule(rule)
    except CelSyntaxError as error:
        _log.warning("a rule is not evaluated", rule=rule, reason=str(error))
        return None


def unsupported_rules(raw: Any) -> list[str]:
    """Return the rules in a CRD's schema that cannot be evaluated here."""
    return [rule for rule in _rules_in(raw) if _program(rule) is None]


def _rules_in(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict):
        for entry in raw.get("x-kubernetes-validations") or ():
            if isinstance(entry, dict) and isinstance(entry.get("rule"), str):
                yield entry["rule"]
        for value in raw.values():
            yield from _rules_in(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _rules_in(value)


def rule_causes(new: Any, old: Any, schema: Schema, *, sound: bool = True) -> Causes:
    """Return what the rules of a schema find wrong; `old` is the value before, or MISSING.

    A rule that has no value is reported only for a `sound` object: where a required field is missing, that is said
    already.
    """
    found: Causes = []
    with contextlib.suppress(CostExceeded):
        _Evaluation(found, Budget(OBJECT_LIMIT)).walk(new, old, schema, "")
    return found if sound else [cause for cause in found if _EVALUATING not in cause[2]]


_EVALUATING = " evaluating rule: "


class _Evaluation:
    """The rules of one object: what they find, and what they may still cost."""

    def __init__(self, found: Causes, budget: Budget) -> None:
        self._found = found
        self._budget = budget

    def walk(self, value: Any, old: Any, schema: Schema, path: str, depth: int = 0) -> None:
        """Evaluate the rules for a value and for what is in it. Raises CostExceeded, which is among what was found."""
        # What has not changed was found right before, or is not this write's fault.
        if depth > _MAX_DEPTH or not schema.has_rules() or old == value:
            return
        for rule in schema.rules:
            self._evaluate(rule, value, old, schema, path)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, entry in value.items():
                if (child := schema.child(name)) is not None and entry is not None:
                    where = f"{path}.{name}" if path else name
                    self.walk(entry, before.get(name, MISSING), child, where, depth + 1)
        elif isinstance(value, list) and schema.items is not None:
            previous = _by_key(old, schema)
            for at, entry in enumerate(value):
                before = previous.get(_key(entry, schema), MISSING)
                self.walk(entry, before, schema.items, f"{path}[{at}]", depth + 1)

    def _evaluate(self, rule: ReadOnlyObject, value: Any, old: Any, schema: Schema, path: str) -> None:
        program = _program(rule.get("rule", ""))
        if program is None or ("oldSelf" in program.names and old is MISSING):
            return
        try:
            holds = self._run(program, value, old)
        except NoOverload:
            return
        except CostExceeded as error:
            self._found.append(causes.invalid(path, schema.type, self._exhausted(error, _shown(rule))))
            raise
        except CelError as error:
            self._found.append(causes.invalid(path, schema.type, f"{error}{_EVALUATING}{_shown(rule)}"))
            return
        if holds is not True:
            self._found.append(_cause(rule, value, schema, path, self._message(rule, value, old)))

    def _run(self, program: Program, value: Any, old: Any) -> Any:
        """Evaluate a rule with as much as one evaluation may cost, or as is left."""
        limit = min(EVALUATION_LIMIT, self._budget.left)
        own = Budget(limit)
        try:
            return program(own, self=value, oldSelf=None if old is MISSING else old)
        finally:
            self._budget.left -= limit - max(own.left, 0)

    def _exhausted(self, error: CostExceeded, rule: str) -> str:
        if self._budget.left <= 0:
            return "validation failed due to running out of cost budget, no further validation rules will be run"
        return f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"

    def _message(self, rule: ReadOnlyObject, value: Any, old: Any) -> str:
        program = _program(rule["messageExpression"]) if rule.get("messageExpression") else None
        if program is not None:
            with contextlib.suppress(CelError, CostExceeded):
                return str(self._run(program, value, old))
        return str(rule.get("message") or f"failed rule: {rule['rule']}")


def _shown(rule: ReadOnlyObject) -> str:
    return str(rule.get("message") or rule["rule"]).strip()


def _key(entry: Any, schema: Schema) -> str:
    keys = {name: entry.get(name) for name in schema.map_keys} if isinstance(entry, dict) else entry
    return repr(keys)


def _by_key(old: Any, schema: Schema) -> dict[str, Any]:
    if schema.list_type != "map" or not isinstance(old, list):
        return {}
    return {_key(entry, schema): entry for entry in old}


def _cause(rule: ReadOnlyObject, value: Any, schema: Schema, path: str, message: str) -> Cause:
    """Return what a broken rule says; objects and lists are not quoted."""
    field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".")
    whole = schema.type in {"object", "array"}
    quoted = "" if whole else f": {causes.printed(value)}"
    made: dict[str, Cause] = {
        "FieldValueRequired": causes.required(field, message),
        "FieldValueForbidden": causes.forbidden(field, message),
        "FieldValueDuplicate": ("FieldValueDuplicate", field, f"Duplicate value{quoted}"),
    }
    return made.get(rule.get("reason", "")) or ("FieldValueInvalid", field, f"Invalid value{quoted}: {message}")

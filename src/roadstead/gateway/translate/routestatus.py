"""What the status of a route says, parent by parent.

Source: gateway-api, apis/v1/shared_types.go (RouteConditionType, RouteConditionReason).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from roadstead.api.conditions import condition
from roadstead.api.objects import Object
from roadstead.gateway.ir import gateway_proxy_key
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import ANNOTATIONS_USABLE, StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.fields import mapping, mappings
from roadstead.gateway.translate.parents import Parent
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.routes import RoutePlan


def route_status(plan: RoutePlan, parents: Sequence[Parent], resources: Resources) -> StatusUpdate | None:
    """Return what a route's status says of its parents, or None if it has no parent of ours and never had."""
    stale = any(
        entry.get("controllerName") in resources.controller_names
        for entry in mappings(mapping(plan.obj.get("status")).get("parents"))
    )
    if not parents and not stale:
        return None
    entries = [_entry(plan, parent, resources) for parent in parents]
    return update_for(plan.obj, {"parents": entries}, owner_names=resources.controller_names)


class _Refusal(NamedTuple):
    """Envoys' words about a rule; `kept`: all those that refuse it serve the version before it."""

    message: str
    kept: bool

    def problem(self, rule: int) -> Problem:
        """Return what the status says of it."""
        instead = "; what it said before is served on" if self.kept else ""
        return Problem(
            "UnsupportedValue", f"spec.rules[{rule}]: Envoy refuses it: {self.message.rstrip('. ')}{instead}"
        )


def _refused(plan: RoutePlan, parent: Parent, resources: Resources) -> Mapping[int, _Refusal]:
    """Return the rules that the parent's Envoys do not take, by number."""
    state = resources.proxy_states.get(gateway_proxy_key(*parent.gateway.key))
    found: dict[int, _Refusal] = {}
    for one in state.rejections if state else ():
        if one.source is not None and plan.has_made(one.source):
            kept = one.source.rule not in found or found[one.source.rule].kept
            found[one.source.rule] = _Refusal(one.message, kept and one.kept is not None)
    return found


def _dropped(plan: RoutePlan, refused: Mapping[int, _Refusal]) -> tuple[Problem | None, Problem | None]:
    """Return why nothing of the route is served, and why only a part of it is."""
    found = [refusal.problem(rule) for rule, refusal in refused.items()]
    problem = joined([*([plan.dropped] if plan.dropped else []), *found])
    served = {route.source.rule for entry in plan.entries for route in entry.routes if route.source}
    lost = {rule for rule, refusal in refused.items() if not refusal.kept}
    return (problem, None) if found and not served - lost else (None, problem)


def _entry(plan: RoutePlan, parent: Parent, resources: Resources) -> Object:
    generation = generation_of(plan.obj)
    nothing_left, dropped = _dropped(plan, _refused(plan, parent, resources))
    problem = parent.problem or plan.unaccepted or nothing_left
    conditions = [
        condition("Accepted", False, *problem, generation=generation)
        if problem
        else condition("Accepted", True, "Accepted", "", generation=generation),
        condition("ResolvedRefs", False, *plan.unresolved, generation=generation)
        if plan.unresolved
        else condition("ResolvedRefs", True, "ResolvedRefs", "", generation=generation),
    ]
    if dropped and not problem:
        message = f"Dropped Rule: {dropped.message}"
        conditions.append(condition("PartiallyInvalid", True, dropped.reason, message, generation=generation))
    if plan.unheeded:
        conditions.append(condition(ANNOTATIONS_USABLE, False, *plan.unheeded, generation=generation))
    return {
        "parentRef": dict(parent.reference),
        "controllerName": parent.gateway.controller_name,
        "conditions": conditions,
    }

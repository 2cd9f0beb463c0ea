"""What the status of a route says, parent by parent.

Source: gateway-api, apis/v1/shared_types.go (RouteConditionType, RouteConditionReason).
"""

from collections.abc import Sequence

from roadstead.api.conditions import condition
from roadstead.api.objects import Object
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import ANNOTATIONS_USABLE, StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.fields import mapping, mappings
from roadstead.gateway.translate.parents import Parent
from roadstead.gateway.translate.routes import RoutePlan


def route_status(plan: RoutePlan, parents: Sequence[Parent], resources: Resources) -> StatusUpdate | None:
    """Return what a route's status says of its parents, or None if it has no parent of ours and never had."""
    stale = any(
        entry.get("controllerName") in resources.controller_names
        for entry in mappings(mapping(plan.obj.get("status")).get("parents"))
    )
    if not parents and not stale:
        return None
    entries = [_entry(plan, parent) for parent in parents]
    return update_for(plan.obj, {"parents": entries}, owner_names=resources.controller_names)


def _entry(plan: RoutePlan, parent: Parent) -> Object:
    generation = generation_of(plan.obj)
    problem = parent.problem or plan.unaccepted
    conditions = [
        condition("Accepted", False, *problem, generation=generation)
        if problem
        else condition("Accepted", True, "Accepted", "", generation=generation),
        condition("ResolvedRefs", False, *plan.unresolved, generation=generation)
        if plan.unresolved
        else condition("ResolvedRefs", True, "ResolvedRefs", "", generation=generation),
    ]
    if plan.dropped and not problem:
        message = f"Dropped Rule: {plan.dropped.message}"
        conditions.append(condition("PartiallyInvalid", True, plan.dropped.reason, message, generation=generation))
    if plan.unheeded:
        conditions.append(condition(ANNOTATIONS_USABLE, False, *plan.unheeded, generation=generation))
    return {
        "parentRef": dict(parent.reference),
        "controllerName": parent.gateway.controller_name,
        "conditions": conditions,
    }

"""What the status of a ListenerSet says: of itself and of each of its listeners.

Source: gateway-api, apis/v1/listenerset_types.go (ListenerSetConditionType, ListenerSetConditionReason).
"""

from collections.abc import Iterator, Mapping, Sequence

from roadstead.api.conditions import condition
from roadstead.api.objects import Object
from roadstead.gateway.ir import Proxies
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.gateways import (
    ListenerLoad,
    Verdict,
    gateway_standing,
    listener_status,
    with_fault,
)
from roadstead.gateway.translate.listeners import ListenerPlan
from roadstead.gateway.translate.listenersets import ListenerSetPlan
from roadstead.gateway.translate.parents import GatewayPlan
from roadstead.gateway.translate.problem import Problem


def listener_set_statuses(
    plan: GatewayPlan, loads: Mapping[int, ListenerLoad], proxies: Proxies, resources: Resources
) -> Iterator[StatusUpdate]:
    """Yield what the statuses of all ListenerSets of a Gateway say."""
    if not plan.sets:
        return
    standing = gateway_standing(plan, proxies, resources)
    none = ListenerLoad((), 0)
    for one in plan.sets:
        generation = generation_of(one.obj)
        mine = [(index, found) for index, found in enumerate(plan.listeners) if found.origin == one.key]
        accepted, programmed = _verdicts(one, plan, [found for _, found in mine], standing.obstacle)
        wanted: Object = {
            "conditions": [
                condition("Accepted", *accepted, generation=generation),
                condition("Programmed", *programmed, generation=generation),
            ],
            "listeners": [
                listener_status(found, loads.get(index, none), standing.obstacle, generation) for index, found in mine
            ],
        }
        yield update_for(one.obj, wanted, proxy=standing.proxy, held=standing.held)


def _verdicts(
    one: ListenerSetPlan, gateway: GatewayPlan, listeners: Sequence[ListenerPlan], obstacle: Problem | None
) -> tuple[Verdict, Verdict]:
    """Return what `Accepted` and `Programmed` say."""
    if one.refused:
        return (False, *one.refused), (False, *one.refused)
    if gateway.invalid:
        refused = (False, "ParentNotAccepted", f"Gateway {gateway.key}: {gateway.invalid.message}")
        return refused, refused
    wrong = with_fault(listeners)
    if not any(found.is_served for found in listeners):
        refused = (False, "ListenersNotValid", f"listeners with faults: {wrong or 'there are none'}")
        return refused, refused
    accepted = (True, "ListenersNotValid", f"listeners with faults: {wrong}") if wrong else (True, "Accepted", "")
    if obstacle:
        return accepted, (False, "Invalid" if obstacle.reason == "Invalid" else "Pending", obstacle.message)
    return accepted, (True, "Programmed", "")

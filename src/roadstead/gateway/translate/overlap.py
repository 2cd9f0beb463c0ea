"""GRPCRoutes and HTTPRoutes that share a host name at a listener: served together, unless the Gateway is strict.

Gateway API first demanded that one of the two be refused, later only allowed it (grpcroute_types.go,
GRPCRouteSpec.Hostnames). Here they live side by side, because a GRPCRoute takes nothing but gRPC. Who wants it the old
way says so on the Gateway; then the older route stays, by creation and then by name.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from roadstead.api.objects import ObjectKey
from roadstead.gateway.translate.annotations import read_annotations
from roadstead.gateway.translate.hostnames import covering
from roadstead.gateway.translate.parents import Attachment, Claim, GatewayPlan, Parent
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.routes import RoutePlan

Attached = tuple[RoutePlan, tuple[Parent, ...]]
STRICT = "strict"


def strict_gateways(gateways: Iterable[GatewayPlan]) -> frozenset[ObjectKey]:
    """Return the Gateways that want no overlap."""
    return frozenset(one.key for one in gateways if read_annotations(one.obj).values.get("route-overlap") == STRICT)


def without_overlaps(routes: Sequence[Attached], strict: frozenset[ObjectKey]) -> list[Attached]:
    """Return the routes as they are, but at these Gateways without those that overlap an older one of another kind."""
    if not strict:
        return list(routes)
    kept = {id(plan): parents for plan, parents in routes}
    taken: _Taken = defaultdict(dict)
    for plan, parents in sorted(routes, key=lambda one: (one[0].age, one[0].kind)):
        if not plan.unaccepted:
            kept[id(plan)] = tuple(_settled(plan, one, taken) if one.gateway.key in strict else one for one in parents)
    return [(plan, kept[id(plan)]) for plan, _ in routes]


_Place = tuple[ObjectKey, int, str]
"""A Gateway, one of its listeners by index, and a kind of routes."""
_Taken = defaultdict[_Place, dict[str, RoutePlan]]
"""At each place, the route that serves a host name, and those that serve a part of what a wildcard stands for."""


def _settled(plan: RoutePlan, parent: Parent, taken: _Taken) -> Parent:
    left: list[Attachment] = []
    problem: Problem | None = parent.problem
    for attachment in parent.attachments:
        rival = _rival(plan, parent, attachment, taken)
        if rival is None:
            left.append(attachment)
            _take(plan, (parent.gateway.key, attachment.listener, plan.kind), attachment.claims, taken)
        else:
            problem = _refusal(parent, attachment, rival)
    return replace(parent, problem=None if left else problem, attachments=tuple(left))


def _rival(plan: RoutePlan, parent: Parent, attachment: Attachment, taken: _Taken) -> RoutePlan | None:
    other = "HTTPRoute" if plan.kind == "GRPCRoute" else "GRPCRoute"
    found = taken[parent.gateway.key, attachment.listener, other]
    names = (name for claim in attachment.claims for name in (*covering(claim.effective), _part(claim.effective)))
    return next((found[name] for name in names if name in found), None)


def _take(plan: RoutePlan, place: _Place, claims: Iterable[Claim], taken: _Taken) -> None:
    for claim in claims:
        taken[place].setdefault(claim.effective, plan)
        for name in _wider(claim.effective):
            taken[place].setdefault(_part(name), plan)


def _wider(hostname: str) -> Iterator[str]:
    yield from (name for name in covering(hostname) if name != hostname)


def _part(hostname: str) -> str:
    """Return the mark that something within what this name stands for is taken."""
    return f"within {hostname}"


def _refusal(parent: Parent, attachment: Attachment, rival: RoutePlan) -> Problem:
    names = ", ".join(claim.written for claim in attachment.claims)
    listener = parent.gateway.listeners[attachment.listener].name
    message = (
        f"spec.hostnames: {names} overlaps {rival.kind} {rival.key} at listener {listener}, which is older; Gateway "
        f"{parent.gateway.key} says roadstead.dev/route-overlap: {STRICT}"
    )
    return Problem("HostnameConflict", message)

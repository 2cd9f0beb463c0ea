"""What containers ask for in cpu and memory: as the downward API tells it, and as a pod's class of service. Pure."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from roadstead.api.quantities import parse_quantity


def container_resource(reference: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return a `resourceFieldRef` as the downward API gives it: a whole number of `divisor`s, rounded up.

    Without a limit the machine's own size would be told; this node does not enforce limits, so it is `0`.
    """
    section, _, name = str(reference.get("resource") or "").partition(".")
    resources = container.get("resources") or {}
    amount = _number((resources.get(section) or {}).get(name))
    divisor = _number(reference.get("divisor")) or Decimal(1)
    return str((amount / divisor).to_integral_value(ROUND_CEILING))


def quality_of_service(pod: Mapping[str, Any]) -> str:
    """Return a pod's QoS class: Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos)."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    if not any(_amounts(entry, "requests") or _amounts(entry, "limits") for entry in resources):
        return "BestEffort"
    guaranteed = all(
        set(_amounts(entry, "limits")) == {"cpu", "memory"}
        and (_amounts(entry, "requests") or _amounts(entry, "limits")) == _amounts(entry, "limits")
        for entry in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(resources: Mapping[str, Any], section: str) -> dict[str, Decimal]:
    parsed = {name: _number(value) for name, value in (resources.get(section) or {}).items()}
    return {name: value for name, value in parsed.items() if name in ("cpu", "memory") and value}


def _number(quantity: Any) -> Decimal:
    """Return what a quantity means; 0 for none, and for what is none: the API server lets no such thing in."""
    try:
        return parse_quantity(str(quantity or "0"))
    except ValueError:
        return Decimal(0)

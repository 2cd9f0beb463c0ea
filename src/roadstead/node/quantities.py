"""Quantities as `500m` and `64Mi`, for what the downward API tells of resources and for a pod's class of service."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip


def parse_quantity(text: Any) -> Decimal | None:
    """Return the number that a quantity means (apimachinery's resource.Quantity), or None if it is none."""
    words = str(text).strip()
    number = words.rstrip("KMGTPEikmun")
    try:
        value = Decimal(number) if number else None
    except InvalidOperation:
        return None
    scale = _SUFFIXES.get(words[len(number) :])
    return None if value is None or scale is None or not value.is_finite() else value * scale


def container_resource(reference: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return a `resourceFieldRef` as the downward API gives it: a whole number of `divisor`s, rounded up.

    Without a limit the machine's own size would be told; this node does not enforce limits, so it is `0`.
    """
    section, _, name = str(reference.get("resource") or "").partition(".")
    resources = container.get("resources") or {}
    amount = parse_quantity((resources.get(section) or {}).get(name, "0")) or Decimal(0)
    divisor = parse_quantity(reference.get("divisor") or "1") or Decimal(1)
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
    parsed = {name: parse_quantity(value) for name, value in (resources.get(section) or {}).items()}
    return {name: value for name, value in parsed.items() if name in ("cpu", "memory") and value}

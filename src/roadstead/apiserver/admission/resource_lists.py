"""What pods ask for and may use, summed up as Kubernetes sums it (component-helpers' resource/helpers.go). Pure.

A resource list maps names (`cpu`, `requests.memory`, `pods`) to quantities. Next: `limit_ranges` and `quota_usage`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.quantities import Quantity

ResourceList = dict[str, Quantity]
NOTHING = Quantity.of("0")
_OF_THE_POD = ("cpu", "memory", "hugepages-")
"""What a pod may ask for as a whole, instead of its containers."""


def resource_list(quantities: Mapping[str, Any] | None) -> ResourceList:
    """Read a resource list. Raises ValueError for a text that is no quantity."""
    return {name: Quantity.of(str(text)) for name, text in (quantities or {}).items()}


def plus(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> ResourceList:
    """Return the sum of each resource that is in either."""
    return {**left, **{name: left.get(name, NOTHING).plus(quantity) for name, quantity in right.items()}}


def minus(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> ResourceList:
    """Return what is left of each resource that is in either, which may be negative."""
    return {**left, **{name: left.get(name, NOTHING).minus(quantity) for name, quantity in right.items()}}


def larger(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> ResourceList:
    """Return the larger quantity of each resource that is in either."""
    more = (name for name, quantity in right.items() if name not in left or quantity.number > left[name].number)
    return {**left, **{name: right[name] for name in more}}


def pod_resources(pod: ReadOnlyObject, part: str) -> ResourceList:
    """Return the `requests` or the `limits` of a pod as a whole.

    Containers add up, and so do sidecars (init containers that go on); an ordinary init container runs when only the
    sidecars before it do, so it counts only if it needs more than all that comes later.
    """
    spec = pod.get("spec") or {}
    total: ResourceList = {}
    for container in spec.get("containers") or ():
        total = plus(total, _of(container, part))
    starting: ResourceList = {}
    sidecars: ResourceList = {}
    for container in spec.get("initContainers") or ():
        needed = plus(_of(container, part), sidecars)
        if container.get("restartPolicy") == "Always":
            total, sidecars = plus(total, _of(container, part)), needed
        starting = larger(starting, needed)
    whole = {name: quantity for name, quantity in _of(spec, part).items() if name.startswith(_OF_THE_POD)}
    return {**larger(total, starting), **whole}


def _of(holder: ReadOnlyObject, part: str) -> ResourceList:
    return resource_list((holder.get("resources") or {}).get(part))


def printed(resources: Mapping[str, Quantity], names: Iterable[str]) -> str:
    """Return some of the resources as Kubernetes prints them: `cpu=500m,pods=1`."""
    return ",".join(f"{name}={resources.get(name, NOTHING)}" for name in sorted(names))

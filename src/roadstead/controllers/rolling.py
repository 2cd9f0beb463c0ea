"""The arithmetic of a rollout: how many pods each ReplicaSet of a Deployment may have next.

Numbers in, numbers out, so that a property test can walk through every order in which pods become ready.
Kubernetes' pkg/controller/deployment/rolling.go and deployment_util.go. Next: `deployment` turns it into actions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadstead.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods a Deployment wants, how many more it may have, and how many of them it may lack."""

    replicas: int
    surge: int = 0
    unavailable: int = 0

    @property
    def most(self) -> int:
        """The highest number of pods in all ReplicaSets together."""
        return self.replicas + self.surge

    @property
    def fewest_available(self) -> int:
        """The lowest number of available pods."""
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class Part:
    """One ReplicaSet's share: pods asked for, pods available, and the Deployment's `most` when it was last scaled."""

    name: str
    replicas: int
    available: int = 0
    most: int = 0


def limits_of(deployment: ReadOnlyObject) -> Limits:
    """Read replicas, maxSurge (rounded up) and maxUnavailable (rounded down; 1 if both would be 0)."""
    spec = deployment["spec"]
    replicas = 1 if spec.get("replicas") is None else int(spec["replicas"])
    strategy: Mapping[str, Any] = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Limits(replicas)
    rolling = strategy.get("rollingUpdate") or {}
    surge = math.ceil(share(rolling.get("maxSurge"), replicas))
    unavailable = math.floor(share(rolling.get("maxUnavailable"), replicas))
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(replicas, surge, min(unavailable, replicas))


def share(value: int | str | None, replicas: int) -> float:
    """Read a number or a percentage of `replicas`; 25% if there is none, and 0 for what is neither."""
    if value is None:
        value = "25%"
    if isinstance(value, int):
        return max(value, 0)
    text = value.removesuffix("%")
    if not text.isdigit():
        return 0
    # Exact in integers: 0.07 * 100 would be a little more than 7, and its ceiling 8.
    return int(text) * replicas / 100 if value.endswith("%") else int(text)


def new_target(limits: Limits, new: Part | None, olds: Sequence[Part]) -> int:
    """Return how many pods the new ReplicaSet gets now."""
    have = new.replicas if new else 0
    if have > limits.replicas:
        return limits.replicas
    room = limits.most - have - sum(old.replicas for old in olds)
    return have + max(0, min(room, limits.replicas - have))


def old_targets(limits: Limits, new: Part, olds: Sequence[Part]) -> dict[str, int]:
    """Return the sizes of old ReplicaSets (oldest first) that shrink now: first their unhealthy pods, then others."""
    total = new.replicas + sum(old.replicas for old in olds)
    removable = total - limits.fewest_available - (new.replicas - new.available)
    if removable <= 0:
        return {}
    shrunk = _without_unhealthy(olds, removable)
    spare = new.available + sum(old.available for old in olds) - limits.fewest_available
    targets = dict(shrunk)
    for old in olds:
        have = shrunk.get(old.name, old.replicas)
        if spare <= 0:
            break
        taken = min(have, spare)
        targets[old.name] = have - taken
        spare -= taken
    return {old.name: targets[old.name] for old in olds if targets.get(old.name, old.replicas) != old.replicas}


def _without_unhealthy(olds: Sequence[Part], removable: int) -> dict[str, int]:
    targets: dict[str, int] = {}
    for old in olds:
        taken = min(removable, max(0, old.replicas - old.available))
        if taken:
            targets[old.name] = old.replicas - taken
            removable -= taken
    return targets


def proportional_targets(limits: Limits, parts: Sequence[Part]) -> dict[str, int]:
    """Return sizes after the Deployment itself was scaled during a rollout: each ReplicaSet keeps its share.

    `parts` are those with pods, in the order of `by_size`; the first takes what rounding leaves over.
    """
    # Before the first scaling of zero replicas, growing to `most` would leave nothing to roll with.
    allowed = limits.most if limits.replicas > 0 else 0
    to_add = allowed - sum(part.replicas for part in parts)
    targets: dict[str, int] = {}
    added = 0
    for part in parts:
        share = _proportion(limits, part, to_add, added) if to_add else 0
        targets[part.name] = part.replicas + share
        added += share
    leftover = to_add - added if to_add else 0
    for part in parts:
        # Kubernetes takes the rest from the first alone; where that is too small, the next ones give theirs.
        corrected = max(0, targets[part.name] + leftover)
        leftover -= corrected - targets[part.name]
        targets[part.name] = corrected
    return targets


def _proportion(limits: Limits, part: Part, to_add: int, added: int) -> int:
    allowed = to_add - added
    if part.replicas == 0 or allowed == 0:
        return 0
    fraction = _fraction(limits, part)
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(limits: Limits, part: Part) -> int:
    if limits.replicas == 0:
        return -part.replicas
    base = part.most or limits.most
    return math.floor(part.replicas * limits.most / base + 0.5) - part.replicas

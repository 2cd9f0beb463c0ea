"""What an Envoy gets of a listener, a cluster or a secret that it refuses while it has no version of it yet.

An Envoy that refuses a new version keeps the one that it has. One that starts anew has none; it is given what others of
its kind have taken last. (Rules of route tables are another matter: see `quarantine`.)
"""

from collections.abc import Callable
from typing import NamedTuple

from roadstead.gateway.xds.resources import Ref, Resource, ResourceType, Snapshot
from roadstead.gateway.xds.session import DeltaSession, Rejection

_KEPT = (ResourceType.LISTENER, ResourceType.CLUSTER, ResourceType.SECRET)


class LastGood:
    """Of one kind of Envoys of a proxy: the version before the newest that some of them have taken, by name."""

    def __init__(self) -> None:
        self._good: dict[Ref, Resource] = {}

    def note(self, before: Snapshot, after: Snapshot, has_taken: Callable[[Ref, str], bool]) -> None:
        """Take note that a snapshot follows another one, and which versions of that were taken."""
        if before.version == after.version:
            return
        for ref in [ref for ref in self._good if after.get(ref) is None]:
            del self._good[ref]
        changed = (Ref(type_, name) for type_ in _KEPT for name in after.changed.get(type_, ()))
        for ref in changed:
            old = before.get(ref)
            if old is not None and after.get(ref) is not None and has_taken(ref, old.version):
                self._good[ref] = old

    def get(self, ref: Ref) -> Resource | None:
        """Return the version that was taken last, or None."""
        return self._good.get(ref)


class _Instead(NamedTuple):
    rejection: Rejection
    resource: Resource


class StandIns:
    """What one Envoy gets instead of what it refuses."""

    def __init__(self, last_good: LastGood) -> None:
        self._last_good = last_good
        self._instead: dict[Ref, _Instead] = {}

    @property
    def rejections(self) -> list[Rejection]:
        """What Envoy has refused although it has a version of it now."""
        return [each.rejection for each in self._instead.values()]

    def heed(self, session: DeltaSession, offered: Snapshot) -> bool:
        """Look at what Envoy refuses; return whether it is to be offered something else."""
        before = len(self._instead)
        for rejection in session.rejections:
            ref, good = rejection.ref, self._last_good.get(rejection.ref)
            if good is None or ref in self._instead or session.has_some(ref) or good.version == rejection.version:
                continue
            if all(offered.get(need) is not None for need in good.needs):
                self._instead[ref] = _Instead(rejection, good)
        return len(self._instead) > before

    def fitted(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with what stands in; what has another version now is offered as it is."""
        for ref, each in list(self._instead.items()):
            newest = snapshot.get(ref)
            if newest is None or newest.version != each.rejection.version:
                del self._instead[ref]
        changes = {ref: each.resource for ref, each in self._instead.items()}
        return snapshot.with_changes(changes) if changes else snapshot

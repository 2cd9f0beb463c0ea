"""What an informer knows: objects by name and by index, and who wants to hear of changes. No I/O.

Who writes an object may tell the cache the answer (`wrote`, `deleted`) and so sees its own writes at once, before the
watch brings them. Resource versions decide which of two states is the newer one; they are comparable numbers by
Kubernetes' own promise (KEP-5504), and where a server breaks it own writes are simply not remembered.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import structlog

from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, key_of, metadata_of
from roadstead.client.watch import Change, Removed, Replaced

_log = structlog.get_logger(__name__)

Listener: TypeAlias = Callable[[ObjectKey, Object | None, Object | None], None]
IndexFunction: TypeAlias = Callable[[ReadOnlyObject], Iterable[str]]


class Cache:
    """The objects of one collection; `apply` takes changes and tells the listeners `(key, old, new)`."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Object] = {}
        self.objects: Mapping[ObjectKey, Object] = MappingProxyType(self._objects)
        self._listeners: list[Listener] = []
        self._indexes: dict[str, tuple[IndexFunction, dict[str, dict[ObjectKey, Object]]]] = {}
        self._seen = 0
        self._deleted: set[str] = set()

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` of all there is now and of every change from now on."""
        self._listeners.append(listener)
        for key, obj in list(self._objects.items()):
            _tell(listener, key, None, obj)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by the values that `function` gives for them."""
        self._indexes[name] = (function, {})
        for key, obj in self._objects.items():
            self._put_in_index(name, key, obj)

    def indexed(self, name: str, value: str) -> list[Object]:
        """Return the objects that have this value in an index."""
        return list(self._indexes[name][1].get(value, {}).values())

    def apply(self, change: Change) -> None:
        """Take a change of the collection that the watch brought."""
        if isinstance(change, Replaced):
            self._replace(change)
            return
        self._seen = max(self._seen, _version(change.object))
        if isinstance(change, Removed):
            self._deleted.discard(_uid(change.object))
            current = self._objects.get(key_of(change.object))
            if current is not None and _uid(current) == _uid(change.object):
                self._set(key_of(change.object), None)
        else:
            self._take(change.object)

    def wrote(self, obj: Object) -> None:
        """Take the answer to a write of one's own, unless the watch has brought it or something newer already."""
        if _version(obj) > self._seen:
            self._take(obj)

    def deleted(self, obj: ReadOnlyObject) -> None:
        """Take that an object is gone by a deletion of one's own; the watch may still bring earlier states of it."""
        current = self._objects.get(key_of(obj))
        if current is not None and _uid(current) == _uid(obj):
            self._deleted.add(_uid(obj))
            self._set(key_of(obj), None)

    def _take(self, obj: Object) -> None:
        current = self._objects.get(key_of(obj))
        older = current is not None and _version(obj) < _version(current)
        if not older and _uid(obj) not in self._deleted:
            self._set(key_of(obj), obj)

    def _replace(self, change: Replaced) -> None:
        at = max(_number(change.version), *(_version(obj) for obj in change.objects), 0)
        wanted = {key_of(obj): obj for obj in change.objects}
        self._deleted &= {_uid(obj) for obj in change.objects}
        # A version before what was seen is that of a store begun anew: nothing that was known counts any more.
        anew = at < self._seen
        for key, obj in list(self._objects.items()):
            if key not in wanted and (anew or _version(obj) <= at):
                self._set(key, None)
        for key, obj in wanted.items():
            if anew:
                self._set(key, obj)
            else:
                self._take(obj)
        self._seen = at

    def _set(self, key: ObjectKey, new: Object | None) -> None:
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None and _same(old, new):
            return
        new = _without_managers(new) if new is not None else None
        for name in self._indexes:
            self._take_from_index(name, key, old)
            self._put_in_index(name, key, new)
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for listener in self._listeners:
            _tell(listener, key, old, new)

    def _take_from_index(self, name: str, key: ObjectKey, obj: Object | None) -> None:
        function, values = self._indexes[name]
        for value in function(obj) if obj is not None else ():
            entries = values.get(value, {})
            entries.pop(key, None)
            if not entries:
                values.pop(value, None)

    def _put_in_index(self, name: str, key: ObjectKey, obj: Object | None) -> None:
        function, values = self._indexes[name]
        for value in function(obj) if obj is not None else ():
            values.setdefault(value, {})[key] = obj  # type: ignore[assignment]  # not None: see the loop


def _without_managers(obj: Object) -> Object:
    """Return an object without `managedFields`: they are a good part of it, and nobody asks a cache for them."""
    metadata: Object = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _same(old: Object, new: Object) -> bool:
    version = metadata_of(new).get("resourceVersion")
    return bool(version) and metadata_of(old).get("resourceVersion") == version and _uid(old) == _uid(new)


def _uid(obj: ReadOnlyObject) -> str:
    return metadata_of(obj).get("uid") or ""


def _version(obj: ReadOnlyObject) -> int:
    return _number(metadata_of(obj).get("resourceVersion"))


def _number(version: str | None) -> int:
    return int(version) if version and version.isdigit() else 0


def _tell(listener: Listener, key: ObjectKey, old: Object | None, new: Object | None) -> None:
    try:
        listener(key, old, new)
    except Exception:  # noqa: BLE001  one listener's mistake must not blind the others to the cluster
        _log.exception("a listener failed", object=str(key))

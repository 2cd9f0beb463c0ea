"""What an informer knows: objects by name and by index, and who wants to hear of changes. No I/O."""

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
        """Take a change of the collection."""
        if isinstance(change, Replaced):
            self._replace(change.objects)
        elif isinstance(change, Removed):
            self._set(key_of(change.object), None)
        else:
            self._set(key_of(change.object), change.object)

    def _replace(self, objects: Iterable[Object]) -> None:
        wanted = {key_of(obj): obj for obj in objects}
        for key in [key for key in self._objects if key not in wanted]:
            self._set(key, None)
        for key, obj in wanted.items():
            self._set(key, obj)

    def _set(self, key: ObjectKey, new: Object | None) -> None:
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None and _same(old, new):
            return
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


def _same(old: Object, new: Object) -> bool:
    version = metadata_of(new).get("resourceVersion")
    return bool(version) and metadata_of(old).get("resourceVersion") == version


def _tell(listener: Listener, key: ObjectKey, old: Object | None, new: Object | None) -> None:
    try:
        listener(key, old, new)
    except Exception:  # noqa: BLE001  one listener's mistake must not blind the others to the cluster
        _log.exception("a listener failed", object=str(key))

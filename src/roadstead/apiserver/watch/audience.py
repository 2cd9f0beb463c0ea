"""Those who watch the same objects in the same form. Next: `delivery`, which hands them their lines."""

from collections.abc import Callable, Iterable
from datetime import datetime

from roadstead.api.objects import ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.api.selectors import FieldSelector, LabelSelector
from roadstead.apiserver.representation import Presenter, selected_as
from roadstead.apiserver.store import Event, Location, Record
from roadstead.apiserver.store.contract import numbered
from roadstead.apiserver.versions import convert
from roadstead.apiserver.watch.watcher import Watcher

Key = tuple[object, ...]


class Matcher:
    """Whether an object is among those that a request chose, by namespace, name, labels and fields."""

    def __init__(self, resource: Resource, namespace: str, labels: LabelSelector, fields: FieldSelector) -> None:
        self._resource = resource
        self._namespace = namespace
        self._labels = labels if labels.requirements else None
        self._names = [(wanted, equal) for path, wanted, equal in fields.terms if path == "metadata.name"]
        others = tuple(term for term in fields.terms if term[0] != "metadata.name")
        self._fields = FieldSelector(others) if others else None
        self.by_place = self._labels is None and self._fields is None
        """Whether only namespace and name count, which no write changes."""

    def matches(self, record: Record, decoded: Callable[[Record], ReadOnlyObject]) -> bool:
        """Say whether a version of an object is chosen; `decoded` is asked only if its fields matter."""
        if self._namespace and record.location.namespace != self._namespace:
            return False
        for wanted, equal in self._names:
            if (record.location.name == wanted) is not equal:
                return False
        if self._labels is not None and not self._labels.matches(record.labels):
            return False
        return self._fields is None or self._fields.matches(convert(dict(decoded(record)), self._resource))


class Telling:
    """One event on its way to all audiences: what several of them need is made once."""

    def __init__(self, event: Event, now: datetime) -> None:
        self.event = event
        self.now = now
        self._decoded: dict[int, ReadOnlyObject] = {}
        self._lines: dict[tuple[str, str, bool], bytes] = {}

    def decoded(self, record: Record) -> ReadOnlyObject:
        """Return a record as an object that nobody may change."""
        if record.revision not in self._decoded:
            self._decoded[record.revision] = record.decode()
        return self._decoded[record.revision]

    def line(self, presenter: Presenter, kind: str, *, with_columns: bool) -> bytes:
        """Return the encoded line of this event under a type."""
        key = (presenter.cache_key, kind, with_columns)
        if key not in self._lines:
            record = self._shown(kind)
            self._lines[key] = presenter.event(kind, record, self.now, with_columns=with_columns)
        return self._lines[key]

    def _shown(self, kind: str) -> Record:
        """An object that stopped to match is shown as it was when it still did, with the revision of the change."""
        previous = self.event.previous
        if kind != "DELETED" or self.event.type == "DELETED" or previous is None:
            return self.event.record
        return numbered(previous.location, self.event.revision, previous.decode())


class Audience:
    """Watchers who are told the same. Lines gather here until `delivery` fetches them for all.

    `place` is what they watch (an empty namespace or name means all), `key` is what else tells them from others there.
    """

    def __init__(self, place: Location, key: Key, matcher: Matcher, presenter: Presenter) -> None:
        self.place = place
        self.key = key
        self.presenter = presenter
        self.watchers: set[Watcher] = set()
        self._matcher = matcher
        self._lines: list[bytes] = []
        self._began = False

    def tell(self, telling: Telling) -> bool:
        """Take in an event if its object is among the chosen; say whether it was."""
        line = self.line(telling)
        if line is None:
            return False
        self._lines.append(line)
        return True

    def line(self, telling: Telling) -> bytes | None:
        """Return what an event is for these watchers, None if its object is not among the chosen."""
        event, matches = telling.event, self._matcher.matches
        after = matches(event.record, telling.decoded)
        if self._matcher.by_place:
            kind = event.type if after else None
        else:
            before = event.previous is not None and matches(event.previous, telling.decoded)
            kind = selected_as(event, before=before, after=after)
        return None if kind is None else telling.line(self.presenter, kind, with_columns=self.columns_due())

    def columns_due(self) -> bool:
        """Say, the first time only, that the next line is the first: a table names its columns there."""
        due, self._began = not self._began, True
        return due or not self.presenter.first_line_differs

    def chosen(self, records: Iterable[Record]) -> list[Record]:
        """Return those of the records that these watchers chose."""
        return [record for record in records if self._matcher.matches(record, Record.decode)]

    def gathered(self) -> bytes:
        """Return the lines that gathered, and begin anew."""
        block = self._lines[0] if len(self._lines) == 1 else b"".join(self._lines)
        self._lines.clear()
        return block

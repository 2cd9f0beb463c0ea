"""From stored objects to the bytes of an answer: whole, as a table, or metadata alone; one, a list, or watch events.

Stored JSON is passed on as it is wherever the client asked for the stored version; nothing is decoded for it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object
from roadstead.api.resources import Resource
from roadstead.apiserver import tables
from roadstead.apiserver.http.content import Form
from roadstead.apiserver.store import Event, Record
from roadstead.apiserver.store.contract import EventType
from roadstead.apiserver.versions import convert

_encode = msgspec.json.encode


class Presenter:
    """Writes the objects of one resource in one form. `stored_version` is the apiVersion that records are kept in."""

    def __init__(self, resource: Resource, stored_version: str, form: Form) -> None:
        self.resource = resource
        self.form = form
        self.cache_key = f"{resource.api_version} {form.kind} {form.include_object}"
        """Two presenters with the same key write an event alike."""
        self.first_line_differs = form.kind == "table"
        """Whether the first line of a watch has more than the others: a table names its columns there."""
        self._as_stored = resource.api_version == stored_version

    def one(self, record: Record, now: datetime) -> bytes:
        """Write a stored object."""
        if self.form.kind == "object":
            return self._whole(record)
        return _encode(self.shape(self._decoded(record), now))

    def shape(self, obj: Object, now: datetime) -> Object:
        """Return an object, which is in the resource's version, in the wanted form."""
        if self.form.kind == "table":
            return self._table([obj], now, obj["metadata"].get("resourceVersion", ""))
        return _metadata_only(obj) if self.form.kind == "metadata" else obj

    def many(self, records: Sequence[Record], now: datetime, list_metadata: Object) -> Iterator[bytes]:
        """Write a list of stored objects, in parts: those that are shown as they are stored are not copied."""
        yield self._head_of_many(now, list_metadata)
        for position, record in enumerate(records):
            if position:
                yield b","
            yield self._one_of_many(record, now)
        yield b"]}"

    def _head_of_many(self, now: datetime, list_metadata: Object) -> bytes:
        entries = "rows" if self.form.kind == "table" else "items"
        head: Object = {"kind": f"{self.resource.kind}List", "apiVersion": self.resource.api_version}
        if self.form.kind == "table":
            head = self._table((), now, "")
            del head["rows"]
        elif self.form.kind == "metadata":
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        head["metadata"] = list_metadata
        return _encode(head)[:-1] + f',"{entries}":['.encode()

    def _one_of_many(self, record: Record, now: datetime) -> bytes:
        if self.form.kind == "object":
            return self._whole(record)
        obj = self._decoded(record)
        return _encode(_metadata_only(obj) if self.form.kind == "metadata" else self._table([obj], now, "")["rows"][0])

    def event(self, kind: str, record: Record, now: datetime, *, with_columns: bool) -> bytes:
        """Write one line of a watch. A table names its columns only in the first event of each watch."""
        if self.form.kind != "table" or with_columns:
            return b"".join((b'{"type":"', kind.encode(), b'","object":', self.one(record, now), b"}\n"))
        table = self.shape(self._decoded(record), now)
        table["columnDefinitions"] = None
        return _encode({"type": kind, "object": table}) + b"\n"

    def bookmark(self, revision: int, *, initial_events_end: bool) -> bytes:
        """Write a bookmark: kind and resourceVersion only, and a mark where the initial events end."""
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return _encode({"type": "BOOKMARK", "object": self._bookmark_object(metadata)}) + b"\n"

    def error(self, error: ApiError) -> bytes:
        """Write the line that tells a watch why it ends."""
        return _encode({"type": "ERROR", "object": error.status()}) + b"\n"

    def _bookmark_object(self, metadata: Object) -> Object:
        if self.form.kind == "table":
            row = {"cells": [], "object": {**_PARTIAL, "metadata": metadata}}
            return {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": metadata["resourceVersion"]},
                "columnDefinitions": None,
                "rows": [row],
            }
        if self.form.kind == "metadata":
            return {**_PARTIAL, "metadata": metadata}
        return {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata}

    def _whole(self, record: Record) -> bytes:
        return record.body if self._as_stored else _encode(self._decoded(record))

    def _decoded(self, record: Record) -> Object:
        return convert(record.decode(), self.resource)

    def _table(self, objects: Sequence[Object], now: datetime, revision: str) -> Object:
        return tables.table(
            self.resource, objects, now=now, include_object=self.form.include_object, resource_version=revision
        )


_PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}


def _metadata_only(obj: Object) -> Object:
    return {**_PARTIAL, "metadata": obj["metadata"]}


def selected_as(event: Event, *, before: bool, after: bool) -> EventType | None:
    """Return the type of an event for a watcher whose selectors held before and hold after it, None for no event.

    An object that starts to match is ADDED for this watcher, one that no longer matches is DELETED.
    """
    if event.type == "MODIFIED":
        if before and after:
            return "MODIFIED"
        return "ADDED" if after else "DELETED" if before else None
    return event.type if after or (event.type == "DELETED" and before) else None

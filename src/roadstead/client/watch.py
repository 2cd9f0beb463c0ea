"""How a collection is followed: which request comes next, and what each line of an answer means. No I/O.

    LISTING ──list answered──────────▶ WATCHING ──410, ERROR──▶ back to the start
    STREAMING ──initial-events-end───▶ WATCHING
    STREAMING ──400/422: not served──▶ LISTING

A `Reflector` starts STREAMING (one watch that begins with everything there is, KEP-3157) and falls back to LISTING
for servers that refuse it. `informer` does the waiting and keeps what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

import msgspec

from roadstead.api.errors import ApiError, BadRequest, Expired, InternalError, Invalid, from_status
from roadstead.api.objects import Object, ObjectKey, annotations_of, key_of, metadata_of
from roadstead.api.resources import Resource
from roadstead.client import requests
from roadstead.client.answers import list_items
from roadstead.client.requests import Request

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 10.0


@dataclass(frozen=True, slots=True)
class Replaced:
    """The collection as a whole at a version: what is not in it is gone."""

    objects: tuple[Object, ...]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Updated:
    """An object was added or changed."""

    object: Object


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is gone, or is no longer selected."""

    object: Object


Change: TypeAlias = Replaced | Updated | Removed


class Mode(Enum):
    """What the next answer will be."""

    STREAMING = auto()
    LISTING = auto()
    WATCHING = auto()


class Reflector:
    """Follow one collection. Ask `request` what to send; tell it what came: `listed`, `line`, `failed`, `ended`."""

    def __init__(
        self, resource: Resource, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> None:
        self.mode = Mode.STREAMING
        self.version = ""
        self._resource = resource
        self._scope = (namespace, label_selector, field_selector)
        self._streams = True
        self._initial: dict[ObjectKey, Object] = {}
        self._failures = 0
        self._progress = False

    def request(self, timeout_seconds: int) -> Request:
        """Return what to send now; a watch asks the server to end it after `timeout_seconds`."""
        self._initial, self._progress = {}, False
        if self.mode is Mode.LISTING:
            return requests.list_all(self._resource, *self._scope)
        return requests.watch(
            self._resource,
            *self._scope,
            version=self.version,
            initial_events=self.mode is Mode.STREAMING,
            timeout_seconds=timeout_seconds,
        )

    def listed(self, answer: Object) -> Replaced:
        """Take the answer to a list."""
        self.mode, self._failures = Mode.WATCHING, 0
        self.version = metadata_of(answer).get("resourceVersion") or ""
        return Replaced(tuple(list_items(self._resource, answer)), self.version)

    def line(self, text: bytes) -> Change | None:
        """Take one line of a watch. Raises ApiError if it says that the watch failed: hand that to `failed`."""
        if not text.strip():
            return None
        try:
            event = msgspec.json.decode(text)
            kind, obj = event["type"], event["object"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise InternalError(f"a line of the watch is not a watch event: {text[:100]!r}") from error
        if kind == "ERROR":
            raise from_status(int(obj.get("code") or 500), obj, "the watch failed")
        self._progress, self._failures = True, 0
        version = metadata_of(obj).get("resourceVersion") or ""
        if self.mode is Mode.STREAMING:
            return self._initial_event(kind, obj, version)
        self.version = version or self.version
        return _CHANGES[kind](obj) if kind in _CHANGES else None

    def _initial_event(self, kind: str, obj: Object, version: str) -> Change | None:
        if kind == "BOOKMARK":
            if annotations_of(obj).get("k8s.io/initial-events-end") != "true":
                return None
            self.mode, self.version = Mode.WATCHING, version
            return Replaced(tuple(self._initial.values()), version)
        if kind == "DELETED":
            self._initial.pop(key_of(obj), None)
        else:
            self._initial[key_of(obj)] = obj
        return None

    def failed(self, error: ApiError) -> None:
        """Take the error that a request or a line of it ended with."""
        self._failures += 1
        if isinstance(error, BadRequest | Invalid) and self.mode is Mode.STREAMING:
            self._streams, self._failures = False, 0
            self._restart()
        elif isinstance(error, Expired | BadRequest | Invalid) or error.code == 504:
            # Too old, or (504 ResourceVersionTooLarge) from a server whose state was lost: begin again.
            self._restart()

    def ended(self) -> None:
        """Note that a watch ended in order; one that brought nothing at all counts as a failure."""
        if not self._progress:
            self._failures += 1

    @property
    def failures(self) -> int:
        """How often in a row nothing was learned."""
        return self._failures

    def pause(self, jitter: float) -> float:
        """Return how many seconds to wait before the next request; `jitter` is a random number in [0, 1)."""
        if self._failures == 0:
            return 0.0
        return min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 16), _LONGEST_PAUSE) * (0.5 + jitter / 2)

    def _restart(self) -> None:
        self.version = ""
        self.mode = Mode.STREAMING if self._streams else Mode.LISTING


_CHANGES: dict[str, Callable[[Object], Change]] = {"ADDED": Updated, "MODIFIED": Updated, "DELETED": Removed}

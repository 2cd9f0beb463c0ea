"""How large an object may be: as large as etcd takes it, 1.5 MiB, so that what is stored here can be stored there.

Kubernetes stores custom resources as JSON and its own kinds as protobuf, which has neither escapes nor base64: so the
JSON of a built-in kind may be longer. What it would take is only reckoned for objects whose JSON is beyond the limit.
"""

from typing import Any

from roadstead.api.errors import RequestEntityTooLarge
from roadstead.api.objects import Object
from roadstead.api.resources import BUILT_IN

OBJECT_LIMIT = 3 << 19
_BUILT_IN = frozenset(f"{kind.plural}.{kind.group}" if kind.group else kind.plural for kind in BUILT_IN)
_BASE64 = {"secrets": ("data",), "configmaps": ("binaryData",)}
_TAG = 2
"""What a field's or entry's number and length take, about."""


def check_size(collection: str, obj: Object, body: bytes) -> None:
    """Let an object pass that is not too large. Raises RequestEntityTooLarge, in etcd's words."""
    if len(body) <= OBJECT_LIMIT:
        return
    if collection not in _BUILT_IN or encoded_size(collection, obj) > OBJECT_LIMIT:
        raise RequestEntityTooLarge("etcdserver: request is too large")


def encoded_size(collection: str, obj: Object) -> int:
    """Return about how many bytes Kubernetes' protobuf of an object has."""
    encoded = _BASE64.get(collection, ())
    saved = sum(len(text) // 4 for part in encoded for text in (obj.get(part) or {}).values())
    return _texts(obj) - saved


def _texts(value: Any) -> int:
    size = 0
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            size += len(found.encode(errors="replace"))
        elif isinstance(found, dict):
            size += _TAG * len(found)
            waiting += found.values()
        elif isinstance(found, list):
            size += _TAG * len(found)
            waiting += found
        else:
            size += _TAG
    return size

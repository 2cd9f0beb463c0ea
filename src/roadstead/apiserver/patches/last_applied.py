"""Moving from client-side to server-side apply: the annotation in which kubectl used to keep what it applied.

What the annotation says and nobody has changed since is no conflict for kubectl's own server-side apply; and where the
annotation is there, it is kept up to date, so that one may go back (apimachinery's pkg/util/managedfields/internal,
lastappliedmanager.go and lastappliedupdater.go). Both hold for the manager `kubectl` only.
"""

import json

import msgspec

from roadstead.api.objects import Object, ReadOnlyObject, annotations_of, metadata_of
from roadstead.apiserver.patches.managed_fields import FieldSet, compare, difference, object_set
from roadstead.apiserver.schemas import Schema

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"


def unclaimed(live: ReadOnlyObject, schema: Schema, manager: str) -> FieldSet:
    """Return the fields that kubectl may take over: they are as its client-side apply left them."""
    text = annotations_of(live).get(ANNOTATION)
    if manager != MANAGER or not isinstance(text, str):
        return {}
    try:
        applied = msgspec.json.decode(text, type=dict)
    except msgspec.DecodeError:
        return {}
    changed, _ = compare(applied, dict(live), schema)
    return difference(object_set(applied, schema), changed)


def keep_up_to_date(merged: Object, applied: ReadOnlyObject, manager: str) -> bool:
    """Write what was applied into the annotation, if it is there; say whether that changed anything."""
    before = annotations_of(merged).get(ANNOTATION)
    if manager != MANAGER or before is None:
        return False
    metadata = {key: value for key, value in metadata_of(applied).items() if key != "managedFields"}
    others = {key: value for key, value in annotations_of(applied).items() if key != ANNOTATION}
    shown = {**applied, "metadata": {**metadata, "annotations": others}}
    text = json.dumps(shown, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    merged["metadata"]["annotations"][ANNOTATION] = text
    return text != before

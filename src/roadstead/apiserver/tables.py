"""Tables: what `kubectl get` prints. The server renders the cells, ages included; the client only aligns them."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import structlog

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.apiserver import jsonpath
from roadstead.apiserver.printers import PRINTERS, Column, Printer
from roadstead.apiserver.printers.cells import Cells, since
from roadstead.apiserver.schemas.tables import printer_columns

_log = structlog.get_logger(__name__)
_DEFAULT = Printer(
    (Column("Name"), Column("Created At", "date")),
    lambda obj, now: [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")],
)


def table(
    resource: Resource,
    objects: Sequence[Object],
    *,
    now: datetime,
    include_object: str = "Metadata",
    columns_of_crd: Sequence[Object] | None = None,
    resource_version: str = "",
    continue_: str = "",
) -> Object:
    """Return a `meta.k8s.io/v1` Table of objects.

    `include_object` is `Metadata`, `Object` or `None`, as in the request; `columns_of_crd` are a CRD's
    `additionalPrinterColumns` and may be left out for a `CustomResource`, which knows them. An object that does not
    look as its kind should gets a row with nothing but its name.
    """
    extra = columns_of_crd if columns_of_crd is not None else printer_columns(resource)
    definitions = _definitions_of_crd(extra) if extra else _definitions(resource.group, resource.kind)
    rows = [
        _row(_custom_cells(extra, obj, now) if extra else _cells(resource, obj, now), obj, include_object)
        for obj in objects
    ]
    metadata = {"resourceVersion": resource_version, **({"continue": continue_} if continue_ else {})}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _row(cells: Cells, obj: Object, include_object: str) -> Object:
    if include_object == "None":
        return {"cells": cells}
    if include_object == "Object":
        return {"cells": cells, "object": obj}
    shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata") or {}}
    return {"cells": cells, "object": shown}


@cache
def _definitions(group: str, kind: str) -> list[Object]:
    printer = PRINTERS.get((group, kind), _DEFAULT)
    return [_definition(column.name, column.type, 1 if column.wide else 0) for column in printer.columns]


def _definition(name: str, type_: str, priority: int, description: str = "", format_: str = "") -> Object:
    return {
        "name": name,
        "type": type_,
        "format": "name" if name == "Name" else format_,
        "description": description or name,
        "priority": priority,
    }


def _cells(resource: Resource, obj: Object, now: datetime) -> Cells:
    printer = PRINTERS.get((resource.group, resource.kind), _DEFAULT)
    try:
        return printer.cells(obj, now)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        # Stored before validation learned better: one odd object must not hide the others.
        name = (obj.get("metadata") or {}).get("name", "")
        _log.warning("cannot print an object", kind=resource.kind, name=name, error=repr(error))
        return [name if column.name == "Name" else "<invalid>" for column in printer.columns]


# Columns that a CRD brings: a JSONPath each, after the name.


def _definitions_of_crd(columns: Sequence[ReadOnlyObject]) -> list[Object]:
    extra = [
        _definition(
            column["name"],
            column.get("type", "string"),
            column.get("priority", 0),
            column.get("description", ""),
            column.get("format", ""),
        )
        for column in columns
    ]
    return [_definition("Name", "string", 0), *extra]


def _custom_cells(columns: Sequence[ReadOnlyObject], obj: Object, now: datetime) -> Cells:
    cells = [_custom_cell(column, jsonpath.find(column.get("jsonPath", ""), obj), now) for column in columns]
    return [obj["metadata"]["name"], *cells]


def _custom_cell(column: ReadOnlyObject, found: list[Any], now: datetime) -> Any:
    """Return the cell for what a path found: only the first counts, and only if it is of the column's type."""
    if not found or found[0] is None:
        return None
    value, type_ = found[0], column.get("type", "string")
    if type_ == "string":
        return _text(value)
    if type_ == "date":
        return since(value, now) if isinstance(value, str) else None
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if type_ == "integer" else float(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

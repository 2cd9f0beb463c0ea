"""Tables: what `kubectl get` prints. The server renders the cells, ages included; the client only aligns them."""

from collections.abc import Sequence
from datetime import datetime

from roadstead.api.objects import Object
from roadstead.api.resources import Resource


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
    `additionalPrinterColumns` and may be left out for a `CustomResource`, which knows them.
    """
    columns = [
        {"name": "Name", "type": "string", "format": "name", "description": "Name of the object.", "priority": 0},
        {"name": "Age", "type": "string", "format": "", "description": "Time since creation.", "priority": 0},
    ]
    rows = [{"cells": [obj["metadata"]["name"], "?"], "object": obj} for obj in objects]
    metadata = {"resourceVersion": resource_version, **({"continue": continue_} if continue_ else {})}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }

"""What the API server does to claims of storage, as plugins that every Kubernetes cluster has. Pure.

DefaultStorageClass and PersistentVolumeClaimResize (plugin/pkg/admission/storage).
"""

from collections.abc import Iterable
from decimal import Decimal

from roadstead.api.errors import Forbidden
from roadstead.api.objects import Object, ReadOnlyObject, metadata_of
from roadstead.api.quantities import parse_quantity
from roadstead.api.storage import class_of, default_class

_ONLY = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


def give_class(claim: Object, classes: Iterable[ReadOnlyObject]) -> None:
    """Give a new claim that names no class the default one, in place, if there is one."""
    if class_of(claim) is None and (name := default_class(classes)) is not None:
        claim["spec"]["storageClassName"] = name


def check_growth(old: ReadOnlyObject, new: ReadOnlyObject, classes: Iterable[ReadOnlyObject]) -> None:
    """Raise Forbidden if a claim asks for more than it did, and its class does not let volumes grow.

    A class that is not here is taken for one that does: volumes are folders, which grow by themselves.
    """
    name = class_of(old)
    if _requested(new) <= _requested(old):
        return
    found = next((each for each in classes if metadata_of(each)["name"] == name), None)
    if not name or (found is not None and not found.get("allowVolumeExpansion")):
        claim = str(metadata_of(old)["name"])
        details = {"name": claim, "kind": "persistentvolumeclaims"}
        raise Forbidden(f'persistentvolumeclaims "{claim}" is forbidden: {_ONLY}', details)


def _requested(claim: ReadOnlyObject) -> Decimal:
    return parse_quantity(str(claim["spec"]["resources"]["requests"]["storage"]))

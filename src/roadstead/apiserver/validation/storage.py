"""Claims of storage (kubernetes pkg/apis/core/validation, pkg/apis/storage/validation)."""

from decimal import Decimal

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, label_selector, one_of

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_FIXED = "field is immutable"
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def validate_claim(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PersistentVolumeClaim."""
    found = claim_spec(new.get("spec") or {}, "spec")
    return found + (_claim_changes(new, old) if old is not None else [])


def claim_spec(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with what a claim, or a template of one, asks for."""
    found: Causes = []
    if not spec.get("accessModes"):
        found.append(causes.required(f"{path}.accessModes", "at least 1 access mode is required"))
    found += label_selector(spec.get("selector"), f"{path}.selector")
    found += access_modes(spec, path)
    size, field = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), f"{path}.resources[storage]"
    if size is None:
        found.append(causes.required(field))
    elif parse_quantity(str(size)) <= 0:
        found.append(causes.invalid(field, size, "must be greater than zero"))
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        found += complain(f"{path}.storageClassName", name, names.subdomain_complaints(name))
    return found + one_of(f"{path}.volumeMode", spec.get("volumeMode"), VOLUME_MODES)


def access_modes(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with the access modes that a claim asks for or a volume has."""
    modes, field = spec.get("accessModes") or (), f"{path}.accessModes"
    found = [causes.not_supported(field, mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        found.append(causes.forbidden(field, "may not use ReadWriteOncePod with other access modes"))
    return found


def _claim_changes(new: Object, old: Object) -> Causes:
    """A claim stays what it is, but that it gets a volume once, and may ask for more once it has one."""
    after, before = _stated(new), _stated(old)
    if not before.get("volumeName"):
        after.pop("volumeName", None)
    if "storageClassName" not in before:
        after.pop("storageClassName", None)  # a default class has come since
    status = new.get("status") or {}
    if status.get("phase") != "Bound":
        return [] if after == before else [causes.forbidden("spec", _IMMUTABLE)]
    for spec in (after, before):
        spec.pop("resources", None)
        spec.pop("volumeAttributesClassName", None)
    if after != before:
        return [causes.forbidden("spec", _IMMUTABLE)]
    return _shrinking(new, old, (status.get("capacity") or {}).get("storage"))


def _stated(claim: Object) -> Object:
    """Return a claim's spec; a source that says nothing of its group is the same with `apiGroup: null`."""
    spec = dict(claim.get("spec") or {})
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field):
            spec[field] = {name: value for name, value in spec[field].items() if value is not None}
    return spec


def _shrinking(new: Object, old: Object, capacity: object) -> Causes:
    """A request may go back, if making it larger did not work, but not to what there is already."""
    after, before = (_requested(obj["spec"]) for obj in (new, old))
    if after >= before or after > parse_quantity(str(capacity or 0)):
        return []
    return [causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]


def _requested(spec: ReadOnlyObject) -> Decimal:
    return parse_quantity(str(spec["resources"]["requests"]["storage"]))


def validate_storage_class(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a StorageClass."""
    found: Causes = []
    provisioner = new.get("provisioner", "").lower()
    if not provisioner:
        found.append(causes.required("provisioner"))
    else:
        found += complain("provisioner", provisioner, names.qualified_name_complaints(provisioner))
    if "" in (new.get("parameters") or {}):
        found.append(causes.invalid("parameters", "", "field can not be empty."))
    found += one_of("reclaimPolicy", new.get("reclaimPolicy"), ("Delete", "Retain"))
    found += one_of("volumeBindingMode", new.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))
    if old is not None:
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            found.append(causes.invalid("parameters", None, _FIXED))
        if new.get("provisioner") != old.get("provisioner"):
            found.append(causes.invalid("provisioner", None, _FIXED))
        for field in ("reclaimPolicy", "volumeBindingMode"):
            if new.get(field) != old.get(field):
                found.append(causes.invalid(field, None, _FIXED))
    return found


VALIDATORS = {
    ("", "PersistentVolumeClaim"): validate_claim,
    ("storage.k8s.io", "StorageClass"): validate_storage_class,
}

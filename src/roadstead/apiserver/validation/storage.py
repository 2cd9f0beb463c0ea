"""Claims of storage (kubernetes pkg/apis/core/validation, pkg/apis/storage/validation)."""

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.quantities import parse_quantity
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import complain, label_selector, one_of

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_FIXED = "field is immutable"
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def validate_claim(new: Object, old: Object | None) -> Causes:
    """Return what is wrong with a PersistentVolumeClaim."""
    found = claim_spec(new.get("spec") or {}, "spec")
    return found + (_claim_changes(new, old) if old is not None else [])


def claim_spec(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with what a claim, or a template of one, asks for."""
    modes = spec.get("accessModes") or ()
    found: Causes = []
    if not modes:
        found.append(causes.required(f"{path}.accessModes", "at least 1 access mode is required"))
    found += label_selector(spec.get("selector"), f"{path}.selector")
    found += [causes.not_supported(f"{path}.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        found.append(causes.forbidden(f"{path}.accessModes", detail))
    size, field = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), f"{path}.resources[storage]"
    if size is None:
        found.append(causes.required(field))
    elif parse_quantity(str(size)) <= 0:
        found.append(causes.invalid(field, size, "must be greater than zero"))
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        found += complain(f"{path}.storageClassName", name, names.subdomain_complaints(name))
    return found + one_of(f"{path}.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))


def _claim_changes(new: Object, old: Object) -> Causes:
    """A claim stays what it is, but that it gets a volume once, and may ask for more once it has one."""
    after, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    if not before.get("volumeName"):
        after.pop("volumeName", None)
    if (new.get("status") or {}).get("phase") == "Bound":
        for spec in (after, before):
            spec.pop("resources", None)
            spec.pop("volumeAttributesClassName", None)
    return [] if after == before else [causes.forbidden("spec", _IMMUTABLE)]


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

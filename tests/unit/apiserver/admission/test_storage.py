"""Classes that claims are given, and whether they may grow."""

import pytest

from roadstead.api.errors import Forbidden
from roadstead.apiserver.admission.storage import check_growth, give_class


def storage_class(name: str, default: bool = False, **fields):
    marked = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": marked}, **fields}


def claim(size: str = "1Gi", **spec):
    return {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": size}}, **spec}}


@pytest.mark.parametrize(("spec", "classes", "given"), [
    ({}, [storage_class("a"), storage_class("b", default=True)], "b"),
    ({}, [storage_class("a")], None),
    ({"storageClassName": "a"}, [storage_class("b", default=True)], "a"),
    ({"storageClassName": ""}, [storage_class("b", default=True)], ""),
])  # fmt: skip
def test_a_claim_that_names_no_class_gets_the_default_one(spec, classes, given):
    made = claim(**spec)
    give_class(made, classes)
    assert made["spec"].get("storageClassName") == given


GROWING = [storage_class("a", allowVolumeExpansion=True)]


@pytest.mark.parametrize(("name", "size", "classes", "allowed"), [
    ("a", "2Gi", GROWING, True),
    ("a", "2Gi", [storage_class("a")], False),
    ("a", "2Gi", [storage_class("a", allowVolumeExpansion=False)], False),
    ("a", "1024Mi", [storage_class("a")], True),
    ("a", "1Mi", [storage_class("a")], True),       # it shrinks, which validation judges
    ("elsewhere", "2Gi", GROWING, True),
    ("", "2Gi", GROWING, False),
    (None, "2Gi", GROWING, False),
])  # fmt: skip
def test_a_claim_may_grow_if_its_class_says_so(name, size, classes, allowed):
    spec = {} if name is None else {"storageClassName": name}
    if allowed:
        check_growth(claim(**spec), claim(size, **spec), classes)
        return
    with pytest.raises(Forbidden, match='persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc'):
        check_growth(claim(**spec), claim(size, **spec), classes)

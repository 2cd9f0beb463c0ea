import pytest

from roadstead.api.storage import claims_of, class_of, default_class, is_for

STABLE, BETA = (f"storageclass.{version}kubernetes.io/is-default-class" for version in ("", "beta."))


def storage_class(name: str, made: str = "2026-01-01T00:00:00Z", **annotations: str):
    return {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}}


@pytest.mark.parametrize(("classes", "chosen"), [
    ([], None),
    ([storage_class("plain"), storage_class("no", **{STABLE: "false"})], None),
    ([storage_class("plain"), storage_class("usual", **{STABLE: "true"})], "usual"),
    ([storage_class("old", **{BETA: "true"})], "old"),
    ([storage_class("b", **{STABLE: "true"}), storage_class("a", **{STABLE: "true"})], "a"),
    ([storage_class("a", **{STABLE: "true"}), storage_class("b", "2026-02-01T00:00:00Z", **{STABLE: "true"})], "b"),
])  # fmt: skip
def test_the_default_class_is_the_newest_that_is_marked(classes, chosen):
    assert default_class(classes) == chosen


@pytest.mark.parametrize(("claim", "name"), [
    ({"spec": {}}, None),
    ({"spec": {"storageClassName": ""}}, ""),
    ({"spec": {"storageClassName": "fast"}}, "fast"),
    ({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "slow"}}, "spec": {}}, "slow"),
])  # fmt: skip
def test_no_class_and_the_empty_one_are_two_things(claim, name):
    assert class_of(claim) == name


def test_the_claims_of_a_pod():
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "persistentVolumeClaim": {"claimName": "disk"}}]
    assert list(claims_of({"spec": {"volumes": volumes}})) == ["disk"]
    assert list(claims_of({"spec": {}})) == []


def test_a_volume_is_for_one_claim_and_no_namesake():
    volume = {"spec": {"claimRef": {"namespace": "shop", "name": "data", "uid": "1"}}}
    assert is_for(volume, {"metadata": {"uid": "1"}})
    assert not is_for(volume, {"metadata": {"uid": "2"}})
    assert not is_for({"spec": {"claimRef": {"namespace": "shop", "name": "data"}}}, {"metadata": {}})

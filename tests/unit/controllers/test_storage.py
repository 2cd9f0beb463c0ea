"""Claims and volumes, with the scheduler that waits for them."""

import asyncio

import pytest
from fake_cluster import FakeCluster, ServerOf, named

from roadstead.api.objects import ObjectKey, key_of
from roadstead.api.storage import CLAIM_PROTECTION, DATA_PROTECTION, DRIVER, PROVISIONED_BY, VOLUME_PROTECTION
from roadstead.controllers.actions import Delete
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.controller import Situation
from roadstead.controllers.storage import claim_controller, volume_controller

CONTROLLERS = [
    entry
    for entry in all_controllers(ClusterFacts("PEM"))
    if entry.name
    in ("persistentvolume-controller", "persistentvolume-reclaimer", "ephemeral-volume-controller", "default-scheduler")
]
DATA = ObjectKey("shop", "data")


@pytest.fixture
def cluster():
    made = FakeCluster(*CONTROLLERS)
    made.create(named("Node", "n", status={"conditions": [{"type": "Ready", "status": "True"}]}))
    made.create(storage_class("standard", DRIVER))
    return made


def storage_class(name: str, provisioner: str, binding: str = "WaitForFirstConsumer", reclaim: str = "Delete"):
    return named("StorageClass", name, provisioner=provisioner, volumeBindingMode=binding, reclaimPolicy=reclaim)


def claim(name: str = "data", storage_class: str = "standard", size: str = "1Gi", **spec):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    made = named("PersistentVolumeClaim", name, "shop", spec={**spec, "storageClassName": storage_class})
    made["metadata"]["finalizers"] = [CLAIM_PROTECTION]
    return {**made, "status": {"phase": "Pending"}}


def volume(name: str, size: str = "1Gi", storage_class: str = "", **spec):
    modes = ["ReadWriteOnce", "ReadOnlyMany"]
    spec = {"accessModes": modes, "capacity": {"storage": size}, "storageClassName": storage_class, **spec}
    made = named("PersistentVolume", name, spec=spec)
    made["metadata"]["finalizers"] = [VOLUME_PROTECTION]
    return {**made, "status": {"phase": "Pending"}}


def pod(name: str = "web", *claims: str, **spec):
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims or ("data",)]
    return named("Pod", name, "shop", spec={"volumes": volumes, **spec}, status={"phase": "Pending"})


def phase(cluster, key=DATA) -> str:
    return cluster.get("PersistentVolumeClaim", key)["status"]["phase"]


def phases(cluster) -> dict[str, str]:
    return {each["metadata"]["name"]: each["status"]["phase"] for each in cluster.all("PersistentVolume")}


def node_of(cluster, name: str = "web") -> str | None:
    return cluster.get("Pod", ObjectKey("shop", name))["spec"].get("nodeName")


def reasons(cluster) -> list[str]:
    return [reason for _, reason, _ in cluster.events]


def test_a_claim_gets_a_volume_when_a_pod_wants_it(cluster):
    cluster.create(claim())
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Pending", {})
    assert reasons(cluster) == ["WaitForFirstConsumer"]
    cluster.create(pod())
    cluster.settle()
    found = cluster.get("PersistentVolumeClaim", DATA)
    name = f"pvc-{found['metadata']['uid']}"
    assert found["spec"]["volumeName"] == name
    assert found["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert phases(cluster) == {name: "Bound"}
    made = cluster.get("PersistentVolume", ObjectKey("", name))
    assert made["metadata"]["annotations"] == {PROVISIONED_BY: DRIVER}
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert node_of(cluster) == "n", "the pod is given to a node when it has its volume"


def test_a_class_may_bind_at_once(cluster):
    cluster.create(storage_class("fast", DRIVER, binding="Immediate", reclaim="Retain"))
    cluster.create(claim(storage_class="fast"))
    cluster.settle()
    assert phase(cluster) == "Bound"
    assert cluster.all("PersistentVolume")[0]["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


@pytest.mark.parametrize("classes", [[], [storage_class("gp3", "ebs.csi.aws.com")]])
def test_a_class_that_nothing_serves_here_is_a_folder_too(cluster, classes):
    for each in classes:
        cluster.create(each)
    cluster.create(claim(storage_class="gp3"))
    cluster.create(pod())
    cluster.settle()
    assert (phase(cluster), node_of(cluster)) == ("Bound", "n")
    told = next(message for _, reason, message in cluster.events if reason == "ProvisioningSucceeded")
    assert told.endswith('a folder of this machine: nothing else serves class "gp3" here')


def test_a_pod_waits_for_a_claim_that_is_not_there(cluster):
    cluster.create(pod())
    cluster.settle()
    assert node_of(cluster) is None
    (condition,) = cluster.get("Pod", ObjectKey("shop", "web"))["status"]["conditions"]
    assert condition["message"] == '0/1 nodes are available: persistentvolumeclaim "data" not found.'
    cluster.create(claim())
    cluster.settle()
    assert node_of(cluster) == "n"


@pytest.mark.parametrize(("others", "wanted", "taken"), [
    ([volume("small", "500Mi"), volume("large", "5Gi"), volume("fitting", "2Gi")], {}, "fitting"),
    ([volume("small", "500Mi")], {}, None),
    ([volume("shared")], {"accessModes": ["ReadWriteMany"]}, None),
    ([volume("shared"), volume("disk", volumeMode="Block")], {"volumeMode": "Block"}, "disk"),
    ([volume("fast", storage_class="fast")], {}, None),
    ([volume("kept", "9Gi", claimRef={"namespace": "shop", "name": "data"}), volume("free")], {}, "kept"),
    ([volume("kept", claimRef={"namespace": "shop", "name": "other"})], {}, None),
    ([volume("any"), volume("named", "9Gi")], {"volumeName": "named"}, "named"),
    ([volume("plain")], {"selector": {"matchLabels": {"tier": "gold"}}}, None),
])  # fmt: skip
def test_a_claim_without_a_class_takes_a_volume_that_fits(cluster, others, wanted, taken):
    for each in others:
        cluster.create(each)
    cluster.create(claim(storage_class="", **wanted))
    cluster.settle()
    assert phase(cluster) == ("Bound" if taken else "Pending")
    assert {name for name, its in phases(cluster).items() if its == "Bound"} == ({taken} if taken else set())
    if taken is None:
        assert reasons(cluster)[-1] == "FailedBinding"


def test_a_volume_that_comes_later_is_taken(cluster):
    cluster.create(storage_class("by-hand", "kubernetes.io/no-provisioner", binding="Immediate"))
    cluster.create(claim(storage_class="by-hand"))
    cluster.settle()
    assert phase(cluster) == "Pending"
    cluster.create(volume("late", storage_class="by-hand"))
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Bound", {"late": "Bound"})


def test_a_claim_from_before_there_was_a_default_class_gets_it(cluster):
    old = claim()
    del old["spec"]["storageClassName"]
    cluster.create(old)
    cluster.create(pod())
    cluster.settle()
    assert phase(cluster) == "Pending"
    default = storage_class("later", DRIVER)
    default["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.create(default)
    cluster.settle()
    assert cluster.get("PersistentVolumeClaim", DATA)["spec"]["storageClassName"] == "later"
    assert (phase(cluster), node_of(cluster)) == ("Bound", "n")


def test_two_claims_never_have_one_volume(cluster):
    cluster.create(volume("only"))
    for name in ("data", "more"):
        cluster.create(claim(name, storage_class=""))
    cluster.settle()
    assert sorted(phase(cluster, ObjectKey("shop", name)) for name in ("data", "more")) == ["Bound", "Pending"]


def test_a_claim_that_names_a_volume_of_another_says_so(cluster):
    cluster.create(volume("only"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.create(claim("more", storage_class="", volumeName="only"))
    cluster.settle()
    assert cluster.events[-1][1:] == ("FailedBinding", 'volume "only" already bound to a different claim.')


def used_claim(cluster):
    cluster.create(claim())
    cluster.create(pod())
    cluster.settle()


def test_a_claim_stays_as_long_as_a_pod_uses_it(cluster):
    used_claim(cluster)
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.settle()
    assert cluster.get("PersistentVolumeClaim", DATA)["metadata"]["deletionTimestamp"]
    assert list(phases(cluster).values()) == ["Bound"]
    cluster.patch("Pod", ObjectKey("shop", "web"), {"status": {"phase": "Succeeded"}}, "status")
    cluster.settle()
    assert phase(cluster) == "Bound", "also by one that has ended, until it is deleted"
    cluster.delete("Pod", "web", "shop")
    cluster.end("web", "shop")
    cluster.settle()
    assert cluster.get("PersistentVolumeClaim", DATA) is None
    ((name, its_phase),) = phases(cluster).items()
    assert its_phase == "Released", "and its volume goes with it"
    metadata = cluster.get("PersistentVolume", ObjectKey("", name))["metadata"]
    assert metadata["deletionTimestamp"]
    assert metadata["finalizers"] == [DATA_PROTECTION], "as soon as the node has removed the data"


def test_a_claim_does_not_go_on_the_word_of_a_cache_that_is_late(cluster):
    """The server knows the pod, though nobody has heard of it here."""
    used_claim(cluster)
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    late = FakeCluster()
    late.kinds["PersistentVolumeClaim"] = cluster.kinds["PersistentVolumeClaim"]
    binder = claim_controller()
    found = asyncio.run(binder.look(ServerOf(cluster), late, DATA))
    assert binder.decide(Situation(late, DATA, late.now, live=found)) == []
    gone = asyncio.run(binder.look(ServerOf(late), late, DATA))
    assert len(binder.decide(Situation(late, DATA, late.now, live=gone))) == 1


@pytest.mark.parametrize(("kind", "key", "finalizer"), [
    ("PersistentVolumeClaim", DATA, CLAIM_PROTECTION), ("PersistentVolume", ObjectKey("", "only"), VOLUME_PROTECTION),
])  # fmt: skip
def test_who_takes_the_protection_away_has_it_put_back(cluster, kind, key, finalizer):
    """As somebody does who replaces an object by a manifest."""
    cluster.create(volume("only"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.patch(kind, key, {"metadata": {"finalizers": ["example.com/mine"]}})
    cluster.settle()
    assert cluster.get(kind, key)["metadata"]["finalizers"] == ["example.com/mine", finalizer]


def test_a_pod_is_not_started_with_a_claim_that_is_going(cluster):
    used_claim(cluster)
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.create(pod("late"))
    cluster.settle()
    assert node_of(cluster, "late") is None
    assert cluster.events[-1][2] == '0/1 nodes are available: persistentvolumeclaim "data" is being deleted.'


def test_a_volume_that_is_bound_stays(cluster):
    cluster.create(volume("only"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.delete("PersistentVolume", "only")
    cluster.settle()
    assert phases(cluster) == {"only": "Bound"}
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.settle()
    assert phases(cluster) == {}


def test_what_is_to_be_retained_is_released_and_not_given_to_a_namesake(cluster):
    cluster.create(volume("kept", persistentVolumeReclaimPolicy="Retain"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.settle()
    assert phases(cluster) == {"kept": "Released"}
    cluster.create(claim(storage_class=""))
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Pending", {"kept": "Released"})


def test_a_volume_whose_claim_goes_before_it_has_heard_of_it_goes_too():
    """Between the two steps of binding: the volume names the claim, and the claim does not yet name the volume."""
    cluster = FakeCluster(volume_controller())
    taken = cluster.create(claim())
    made = volume("pvc-1", storage_class="standard", persistentVolumeReclaimPolicy="Delete")
    made["spec"]["claimRef"] = {"namespace": "shop", "name": "data", "uid": taken["metadata"]["uid"]}
    made["metadata"]["annotations"] = {PROVISIONED_BY: DRIVER}
    cluster.create(made)
    cluster.settle()
    assert phases(cluster) == {"pvc-1": "Bound"}
    cluster.patch("PersistentVolumeClaim", DATA, {"metadata": {"finalizers": None}})
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.settle()
    assert phases(cluster) == {}


@pytest.mark.parametrize(("made", "spec", "told"), [
    ("kubernetes.io/no-provisioner", {}, "1 node(s) didn't find available persistent volumes to bind"),
    (DRIVER, {"volumeName": "absent"}, "1 node(s) didn't find available persistent volumes to bind"),
    (None, {"storage_class": ""}, "pod has unbound immediate PersistentVolumeClaims"),
])  # fmt: skip
def test_a_pod_whose_claim_gets_no_volume_says_so(cluster, made, spec, told):
    if made:
        cluster.create(storage_class("here", made))
    cluster.create(claim(**{"storage_class": "here", **spec}))
    cluster.create(pod())
    cluster.settle()
    assert ("Pod", "FailedScheduling", f"0/1 nodes are available: {told}.") in cluster.events
    assert node_of(cluster) is None


@pytest.mark.parametrize(("spec", "why"), [
    ({"dataSource": {"kind": "VolumeSnapshot", "name": "s", "apiGroup": "snapshot.storage.k8s.io"}},
     "a folder begins empty, and not as a copy of VolumeSnapshot s"),
    ({"selector": {"matchLabels": {"a": "b"}}}, "claim Selector is not supported"),
    ({"volumeMode": "Block"}, "a folder is no block device (volumeMode Block)"),
])  # fmt: skip
def test_a_new_folder_is_not_made_where_it_is_not_what_was_asked_for(cluster, spec, why):
    cluster.create(claim(**spec))
    cluster.create(pod())
    cluster.settle()
    assert (phase(cluster), phases(cluster), node_of(cluster)) == ("Pending", {}, None)
    told = f'failed to provision volume with StorageClass "standard": {why}'
    assert ("PersistentVolumeClaim", "ProvisioningFailed", told) in cluster.events


def scratch(name="web"):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    return named("Pod", name, "shop", spec={"volumes": volumes}, status={"phase": "Pending"})


def test_an_ephemeral_volume_gets_a_claim_of_the_pods_own(cluster):
    cluster.create(scratch())
    cluster.settle()
    (made,) = cluster.all("PersistentVolumeClaim")
    assert (made["metadata"]["name"], made["metadata"]["labels"]) == ("web-scratch", {"a": "b"})
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Pod", "web", True)
    assert phase(cluster, ObjectKey("shop", "web-scratch")) == "Bound"
    assert node_of(cluster) == "n"


def test_a_claim_of_the_same_name_is_not_taken_for_an_ephemeral_volume(cluster):
    cluster.create(claim("web-scratch"))
    cluster.create(scratch())
    cluster.settle()
    told = "PVC shop/web-scratch was not created for pod shop/web (pod is not owner)"
    assert ("Pod", "EphemeralVolumeClaimConflict", told) in cluster.events


def kept(name="kept", **spec):
    """A volume that its author keeps for the claim."""
    return volume(name, **{"claimRef": {"namespace": "shop", "name": "data"}, **spec})


@pytest.mark.parametrize("storage_class", ["standard", "", "gold"])
def test_a_volume_that_is_kept_for_a_claim_is_its_whatever_the_class_and_at_once(cluster, storage_class):
    """Else the claim would get a new folder, with nothing in it."""
    cluster.create(kept(storage_class="other"))
    cluster.create(volume("smaller", "1Gi", storage_class))
    cluster.create(claim(storage_class=storage_class, selector={"matchLabels": {"no": "such"}}))
    cluster.settle()
    assert phases(cluster) == {"kept": "Bound", "smaller": "Available"}
    assert cluster.get("PersistentVolumeClaim", DATA)["spec"]["volumeName"] == "kept"


@pytest.mark.parametrize("spec", [
    {"size": "100Mi"}, {"volumeMode": "Block"}, {"accessModes": ["ReadOnlyMany"]},
])  # fmt: skip
def test_a_volume_that_is_kept_and_cannot_serve_is_not_taken(cluster, spec):
    cluster.create(kept(**spec))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Pending", {"kept": "Available"})


@pytest.mark.parametrize(("spec", "why"), [
    ({"size": "100Mi"}, "requested PV is too small"),
    ({"storage_class": "gold"}, "storageClassName does not match"),
    ({"volumeMode": "Block"}, "incompatible volumeMode"),
    ({"accessModes": ["ReadOnlyMany"]}, "incompatible accessMode"),
])  # fmt: skip
def test_a_volume_that_a_claim_names_must_be_what_it_asks_for(cluster, spec, why):
    cluster.create(volume("mine", **spec))
    cluster.create(claim(storage_class="", volumeName="mine"))
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Pending", {"mine": "Available"})
    told = f'Cannot bind to requested volume "mine": {why}'
    assert cluster.events[-1] == ("PersistentVolumeClaim", "VolumeMismatch", told)


def test_a_claim_gets_back_a_volume_from_which_its_name_was_taken(cluster):
    """As when somebody makes the volume anew, of a copy without the reference."""
    cluster.create(volume("mine"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.patch("PersistentVolume", ObjectKey("", "mine"), {"spec": {"claimRef": None}})
    cluster.create(claim("other", storage_class=""))
    cluster.settle()
    assert (phase(cluster), phases(cluster)) == ("Bound", {"mine": "Bound"})
    assert phase(cluster, ObjectKey("shop", "other")) == "Pending"


def test_a_claim_whose_volume_was_given_to_another_is_lost(cluster):
    cluster.create(volume("mine"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    other = {"namespace": "shop", "name": "other", "uid": "another"}
    cluster.patch("PersistentVolume", ObjectKey("", "mine"), {"spec": {"claimRef": other}})
    cluster.settle()
    assert phase(cluster) == "Lost"
    told = "Two claims are bound to the same volume, this one is bound incorrectly"
    assert cluster.events[-1] == ("PersistentVolumeClaim", "ClaimMisbound", told)


def test_a_volume_that_is_kept_for_a_claim_of_no_namespace_is_nobodys(cluster):
    cluster.create(volume("odd", claimRef={"name": "data"}))
    cluster.settle()
    assert phases(cluster) == {"odd": "Available"}
    cluster.delete("PersistentVolume", "odd")
    cluster.settle()
    assert phases(cluster) == {}


@pytest.mark.parametrize("comes", ["before", "after"])
def test_the_policy_of_a_class_that_comes_late_counts(cluster, comes):
    """Files are applied in the order of their names, a class perhaps after the claims of it."""
    gold = storage_class("gold", "ebs.csi.aws.com", reclaim="Retain")
    cluster.create(claim(storage_class="gold"))
    cluster.create(pod())
    if comes == "before":
        cluster.create(gold)
    cluster.settle()
    if comes == "after":
        assert cluster.all("PersistentVolume")[0]["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        cluster.create(gold)
        cluster.settle()
    (made,) = cluster.all("PersistentVolume")
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["metadata"]["annotations"] == {PROVISIONED_BY: DRIVER}


def test_a_claim_that_asks_for_more_has_it(cluster):
    used_claim(cluster)
    cluster.patch("PersistentVolumeClaim", DATA, {"spec": {"resources": {"requests": {"storage": "5Gi"}}}})
    cluster.settle()
    assert cluster.get("PersistentVolumeClaim", DATA)["status"]["capacity"] == {"storage": "5Gi"}
    assert cluster.all("PersistentVolume")[0]["spec"]["capacity"] == {"storage": "5Gi"}


def test_a_volume_of_somebody_elses_making_is_not_deleted_and_says_so(cluster):
    cluster.create(volume("mine", persistentVolumeReclaimPolicy="Delete"))
    cluster.create(claim(storage_class=""))
    cluster.settle()
    cluster.delete("PersistentVolumeClaim", "data", "shop")
    cluster.settle()
    assert phases(cluster) == {"mine": "Failed"}
    assert cluster.events[-1][:2] == ("PersistentVolume", "VolumeFailedDelete")


def test_a_claim_whose_volume_is_gone_is_lost(cluster):
    used_claim(cluster)
    cluster.kinds["PersistentVolume"].clear()
    cluster.patch("PersistentVolumeClaim", DATA, {"metadata": {"labels": {"a": "b"}}})
    cluster.settle()
    assert phase(cluster) == "Lost"
    assert cluster.events[-1][1] == "ClaimLost"


def test_no_data_goes_on_the_word_of_a_cache_that_is_late(cluster):
    """The server knows the claim, though nobody has heard of it here."""
    used_claim(cluster)
    (volume,) = cluster.all("PersistentVolume")
    late = FakeCluster()
    late.kinds["PersistentVolume"] = cluster.kinds["PersistentVolume"]
    key, reclaimer = key_of(volume), volume_controller()
    found = asyncio.run(reclaimer.look(ServerOf(cluster), late, key))
    assert reclaimer.decide(Situation(late, key, late.now, live=found)) == []
    gone = asyncio.run(reclaimer.look(ServerOf(late), late, key))
    assert Delete(volume) in reclaimer.decide(Situation(late, key, late.now, live=gone))

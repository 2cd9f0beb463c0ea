from roadstead.api.conditions import condition
from roadstead.api.objects import Object
from roadstead.gateway.statuses import StatusUpdate, patch_for, update_for

EARLIER, NOW = "2026-11-22T10:00:00Z", "2026-11-22T12:00:00Z"
OURS = frozenset({"ours"})


def obj(status: Object | None = None, **metadata: object) -> Object:
    about = {"name": "a", "namespace": "b", "uid": "u", "generation": 2, "resourceVersion": "9"} | metadata
    return {"kind": "GRPCRoute", "metadata": about} | ({"status": status} if status else {})


def entry(controller: str, parent: str, *conditions: Object) -> Object:
    return {"controllerName": controller, "parentRef": {"name": parent}, "conditions": list(conditions)}


def parents(*entries: Object) -> StatusUpdate:
    return update_for(obj(), {"parents": list(entries)}, owner_names=OURS)


def test_a_patch_carries_the_version_that_it_was_made_for() -> None:
    patch = patch_for(update_for(obj(), {"conditions": [condition("Accepted", True, "Accepted")]}), obj(), NOW)
    assert patch is not None
    assert patch["metadata"] == {"resourceVersion": "9"}
    assert patch["status"]["conditions"][0]["lastTransitionTime"] == NOW


def test_what_is_said_already_is_no_patch() -> None:
    update = update_for(obj(), {"conditions": [condition("Accepted", True, "Accepted")]})
    said = patch_for(update, obj(), EARLIER)
    assert said is not None
    assert patch_for(update, obj(said["status"]), NOW) is None


def test_a_status_that_stays_keeps_its_time() -> None:
    before = [condition("Accepted", True, "Accepted") | {"lastTransitionTime": EARLIER}]
    update = update_for(obj(), {"conditions": [condition("Accepted", True, "ListenersNotValid")]})
    patch = patch_for(update, obj({"conditions": before}), NOW)
    assert patch is not None
    assert patch["status"]["conditions"][0]["lastTransitionTime"] == EARLIER


def test_conditions_of_others_stay() -> None:
    theirs = condition("example.com/Fine", True, "Fine")
    update = update_for(obj(), {"conditions": [condition("Accepted", True, "Accepted")]})
    patch = patch_for(update, obj({"conditions": [theirs]}), NOW)
    assert patch is not None
    assert [one["type"] for one in patch["status"]["conditions"]] == ["example.com/Fine", "Accepted"]


def test_conditions_of_others_stay_in_a_listener_and_in_a_parent() -> None:
    theirs = condition("example.com/Fine", True, "Fine")
    ours = condition("Accepted", True, "Accepted")
    outdated = condition("roadstead.dev/CertificateUsable", False, "Expired")
    before = {
        "listeners": [{"name": "a", "conditions": [theirs, outdated]}],
        "parents": [entry("ours", "x", theirs)],
    }
    wanted = {"listeners": [{"name": "a", "conditions": [ours]}], "parents": [entry("ours", "x", ours)]}
    patch = patch_for(update_for(obj(), wanted, owner_names=OURS), obj(before), NOW)
    assert patch is not None
    for name in ("listeners", "parents"):
        assert [one["type"] for one in patch["status"][name][0]["conditions"]] == ["example.com/Fine", "Accepted"]


def test_another_generation_or_another_object_of_the_name_is_not_spoken_of() -> None:
    update = parents(entry("ours", "x"))
    assert patch_for(update, obj(generation=3), NOW) is None
    assert patch_for(update, obj(uid="v"), NOW) is None


def test_parents_of_other_controllers_stay() -> None:
    theirs = entry("theirs", "x", condition("Accepted", False, "NotAllowed"))
    patch = patch_for(parents(entry("ours", "x")), obj({"parents": [theirs, entry("ours", "gone")]}), NOW)
    assert patch is not None
    assert [(one["controllerName"], one["parentRef"]["name"]) for one in patch["status"]["parents"]] == [
        ("theirs", "x"),
        ("ours", "x"),
    ]


def test_a_parent_keeps_its_times_and_loses_what_is_not_said_any_more() -> None:
    before = [
        condition("Accepted", True, "Accepted") | {"lastTransitionTime": EARLIER},
        condition("PartiallyInvalid", True, "UnsupportedValue") | {"lastTransitionTime": EARLIER},
    ]
    update = parents(entry("ours", "x", condition("Accepted", True, "Accepted")))
    patch = patch_for(update, obj({"parents": [entry("ours", "x", *before)]}), NOW)
    assert patch is not None
    assert patch["status"]["parents"][0]["conditions"] == before[:1]


def test_listeners_are_told_apart_by_name() -> None:
    def listener(name: str, *, accepted: bool) -> Object:
        return {"name": name, "attachedRoutes": 0, "conditions": [condition("Accepted", accepted, "Why")]}

    first = patch_for(update_for(obj(), {"listeners": [listener("a", accepted=True)]}), obj(), EARLIER)
    assert first is not None
    update = update_for(obj(), {"listeners": [listener("b", accepted=True), listener("a", accepted=True)]})
    patch = patch_for(update, obj(first["status"]), NOW)
    assert patch is not None
    times = {one["name"]: one["conditions"][0]["lastTransitionTime"] for one in patch["status"]["listeners"]}
    assert times == {"a": EARLIER, "b": NOW}

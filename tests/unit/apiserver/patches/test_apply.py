"""Server-side apply: ownership, conflicts, removal; and what other writes own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import BadRequest, Conflict
from roadstead.api.objects import clone
from roadstead.api.resources import resource
from roadstead.apiserver.patches.apply import merged_order, server_side_apply, track_update
from roadstead.apiserver.patches.managed_fields import object_set, paths
from roadstead.apiserver.schemas import schema_of

DEPLOYMENT = resource("Deployment")


def deployment(replicas=None, images=None, **labels):
    spec = {} if replicas is None else {"replicas": replicas}
    if images is not None:
        spec["template"] = {"spec": {"containers": [{"name": n, "image": i} for n, i in images.items()]}}
    metadata = {"name": "web", **({"labels": labels} if labels else {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def apply(live, applied, manager="alice", *, force=False, now="t1", subresource=""):
    return server_side_apply(DEPLOYMENT, live, applied, manager=manager, force=force, subresource=subresource, now=now)


def owned(obj, manager, operation="Apply"):
    for entry in obj["metadata"].get("managedFields", ()):
        if (entry["manager"], entry["operation"]) == (manager, operation):
            return set(paths(entry["fieldsV1"]))
    return set()


def test_the_applier_owns_what_it_applies():
    created = apply(None, deployment(2, {"a": "1"}, app="web"))
    assert created["metadata"]["managedFields"] == [
        {
            "manager": "alice",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": "t1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}}
                    },
                },
            },
        }
    ]


def test_applying_the_same_again_changes_nothing_not_even_the_time():
    created = apply(None, deployment(2, {"a": "1"}))
    assert apply(created, deployment(2, {"a": "1"}), now="t2") == created


def test_another_managers_value_is_a_conflict_in_the_words_of_kubernetes():
    created = apply(None, deployment(2))
    with pytest.raises(Conflict) as refused:
        apply(created, deployment(3), "bob")
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "alice": .spec.replicas'
    assert refused.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "alice"', "field": ".spec.replicas"}
    ]


def test_several_conflicts_are_listed_by_manager():
    live = deployment(2)
    track_update(DEPLOYMENT, None, live, manager="kubectl-create", subresource="", now="t0")
    live = apply(live, deployment(None, {"a": "1"}), "alice")
    with pytest.raises(Conflict) as refused:
        apply(live, deployment(3, {"a": "2"}), "bob")
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "alice":\n'
        '- .spec.template.spec.containers[name="a"].image\n'
        'conflicts with "kubectl-create" using apps/v1:\n'
        "- .spec.replicas"
    )


def test_the_same_value_is_shared_and_not_a_conflict():
    shared = apply(apply(None, deployment(2)), deployment(2), "bob")
    assert owned(shared, "alice") == owned(shared, "bob") == {".spec.replicas"}


def test_force_takes_the_field_away():
    taken = apply(apply(None, deployment(2)), deployment(3), "bob", force=True)
    assert taken["spec"]["replicas"] == 3
    assert owned(taken, "bob") == {".spec.replicas"}
    assert owned(taken, "alice") == set()


def test_what_is_no_longer_applied_is_removed_unless_another_owns_it():
    live = apply(None, deployment(2, {"a": "1", "b": "1"}))
    live = apply(live, deployment(None, {"b": "1"}), "bob")
    live = apply(live, deployment(2))
    assert live["spec"] == {"replicas": 2, "template": {"spec": {"containers": [{"name": "b", "image": "1"}]}}}


def test_defaults_inside_a_removed_entry_go_with_it():
    live = apply(None, deployment(None, {"a": "1", "b": "1"}))
    live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    live = apply(live, deployment(None, {"b": "1"}))
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "b", "image": "1"}]


def test_metadata_survives_when_nothing_of_it_is_applied_any_more():
    live = apply(None, deployment(1, app="web"))
    live["metadata"]["uid"] = "u"
    assert apply(live, deployment(1))["metadata"]["uid"] == "u"
    assert "labels" not in apply(live, deployment(1))["metadata"]


def test_applied_entries_keep_their_order_and_others_their_place():
    live = apply(None, deployment(None, {"a": "1", "b": "1", "c": "1"}), "bob")
    merged = apply(live, deployment(None, {"c": "1", "a": "1", "x": "1"}))
    assert [c["name"] for c in merged["spec"]["template"]["spec"]["containers"]] == ["b", "c", "a", "x"]


def test_default_keys_count():
    def ports(*entries):
        container = {"name": "a", "ports": list(entries)}
        return {**deployment(), "spec": {"template": {"spec": {"containers": [container]}}}}

    live = apply(None, ports({"containerPort": 80, "protocol": "TCP"}))
    merged = apply(live, ports({"containerPort": 80, "name": "grpc"}), "bob")
    found = merged["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert found == [{"containerPort": 80, "protocol": "TCP", "name": "grpc"}]


def test_status_is_reset_at_the_main_endpoint_and_alone_at_its_own():
    applied = {**deployment(1), "status": {"replicas": 5}}
    assert "status" not in apply(None, applied)
    live = apply(None, deployment(1))
    merged = apply(live, applied, "controller", subresource="status")
    assert merged["status"] == {"replicas": 5}
    assert merged["spec"] == {"replicas": 1}
    assert owned(merged, "controller") == {".status.replicas"}
    assert (
        next(e for e in merged["metadata"]["managedFields"] if e["manager"] == "controller")["subresource"] == "status"
    )


def test_managed_fields_and_duplicate_entries_are_refused():
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        apply(None, {**deployment(1), "metadata": {"name": "a", "managedFields": [{}]}})
    twice = deployment(None, {"a": "1"})
    twice["spec"]["template"]["spec"]["containers"] *= 2
    with pytest.raises(BadRequest, match=r"duplicate entries for key \[name=\"a\"\]"):
        apply(None, twice)


def test_an_update_owns_what_it_changes_and_takes_it_from_others():
    live = apply(None, deployment(2, {"a": "1"}))
    changed = clone(live)
    changed["spec"]["replicas"] = 5
    track_update(DEPLOYMENT, live, changed, manager="kubectl-scale", subresource="scale", now="t2")
    assert owned(changed, "kubectl-scale", "Update") == {".spec.replicas"}
    assert ".spec.replicas" not in owned(changed, "alice")
    entry = changed["metadata"]["managedFields"][-1]
    assert (entry["subresource"], entry["time"]) == ("scale", "t2")


def test_an_update_without_a_change_keeps_the_managed_fields():
    live = apply(None, deployment(2))
    same = clone(live)
    track_update(DEPLOYMENT, live, same, manager="kubectl", subresource="", now="t2")
    assert same == live


def test_removed_fields_lose_their_owners():
    live = apply(None, deployment(2, app="web"))
    changed = clone(live)
    del changed["metadata"]["labels"]
    track_update(DEPLOYMENT, live, changed, manager="kubectl", subresource="", now="t2")
    assert owned(changed, "alice") == {".spec.replicas"}
    assert owned(changed, "kubectl", "Update") == set()


def test_managed_fields_in_a_request_replace_the_stored_ones():
    live = apply(None, deployment(2, app="web"))
    rewritten = clone(live)
    rewritten["metadata"]["managedFields"][0]["manager"] = "kubectl"
    track_update(DEPLOYMENT, live, rewritten, manager="other", subresource="", now="t2")
    assert owned(rewritten, "kubectl") == {".spec.replicas", ".metadata.labels.app"}
    emptied = clone(live)
    emptied["metadata"]["managedFields"] = [{}]
    track_update(DEPLOYMENT, live, emptied, manager="other", subresource="", now="t2")
    assert "managedFields" not in emptied["metadata"]


def test_malformed_managed_fields_in_a_request_are_ignored():
    live = apply(None, deployment(2))
    broken = clone(live)
    broken["metadata"]["managedFields"] = [{"fieldsV1": 5}]
    track_update(DEPLOYMENT, live, broken, manager="other", subresource="", now="t2")
    assert broken["metadata"]["managedFields"] == live["metadata"]["managedFields"]


IMAGES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=3)
APPLIED = st.builds(
    lambda replicas, images, label: deployment(replicas, images, **label),
    st.none() | st.integers(0, 2),
    st.none() | IMAGES.filter(bool),
    st.sampled_from([{}, {"x": "1"}, {"y": "2"}]),
)
STEPS = st.lists(st.tuples(st.sampled_from(["alice", "bob", "carol"]), APPLIED), min_size=1, max_size=5)


def _present(obj):
    return set(paths(object_set({k: v for k, v in obj.items() if k != "status"}, schema_of(DEPLOYMENT))))


@settings(max_examples=60)
@given(STEPS)
def test_ownership_holds_after_any_sequence_of_forced_applies(steps):
    live = None
    for manager, applied in steps:
        live = apply(live, clone(applied), manager, force=True)
        # What was just applied is there, as applied, and owned by who applied it.
        assert apply(live, clone(applied), manager, now="later") == live
        assert owned(live, manager) == _present(applied)
    everybody = set().union(*(owned(live, manager) for manager in ("alice", "bob", "carol")))
    present = _present(live)
    assert present <= everybody, "every field has an owner"
    assert all(any(path.startswith(claim) for path in present) for claim in everybody), "what is owned is there"


@settings(max_examples=60)
@given(APPLIED, APPLIED)
def test_applying_without_force_never_changes_what_another_owns(first, second):
    live = apply(None, clone(first))
    try:
        merged = apply(live, clone(second), "bob")
    except Conflict:
        return
    # Who applies last decides on the order of the entries, which nobody owns.
    assert in_order(apply(merged, clone(first), now="later")) == in_order(merged)


def in_order(obj):
    ordered = clone(obj)
    pod = ordered["spec"].get("template", {}).get("spec", {})
    pod.get("containers", []).sort(key=lambda container: container["name"])
    return ordered


def test_whoever_creates_an_object_does_not_own_its_status():
    created = {**deployment(2), "status": {"replicas": 0}}
    track_update(DEPLOYMENT, None, created, manager="kubectl-create", subresource="", now="t0")
    assert owned(created, "kubectl-create", "Update") == {".spec.replicas"}
    reported = {**clone(created), "status": {"replicas": 2}}
    track_update(DEPLOYMENT, created, reported, manager="controller", subresource="status", now="t1")
    assert owned(reported, "controller", "Update") == {".status.replicas"}


def test_those_who_update_are_no_more_than_ten_and_those_who_apply_are_all_kept():
    kind = resource("ConfigMap")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    live = server_side_apply(
        kind, None, obj, manager="applier", force=False, subresource="", now="2026-01-01T00:00:00Z"
    )
    for number in range(14):
        changed = {**live, "metadata": dict(live["metadata"]), "data": {**live["data"], f"k{number}": "v"}}
        now = f"2026-01-01T00:01:{number:02}Z"
        track_update(kind, live, changed, manager=f"m{number}", subresource="", now=now)
        live = changed
    owners = live["metadata"]["managedFields"]
    assert [entry["manager"] for entry in owners if entry["operation"] == "Apply"] == ["applier"]
    updates = [entry for entry in owners if entry["operation"] == "Update"]
    assert [entry["manager"] for entry in updates] == ["ancient-changes", *(f"m{number}" for number in range(5, 14))]
    assert set(updates[0]["fieldsV1"]["f:data"]) == {"f:k0", "f:k1", "f:k2", "f:k3", "f:k4"}
    assert updates[0]["time"] == "2026-01-01T00:01:04Z"


def merged(live, applied):
    """The order of a merged list, entries of `live` alone in capitals, as they stand there."""
    return "".join(live[place].upper() if isinstance(place, int) else place for place in merged_order(live, applied))


@pytest.mark.parametrize(
    ("live", "applied", "expected"),
    [
        ("", "ba", "ba"),
        ("abc", "", "ABC"),
        ("ab", "abx", "abx"),
        ("ab", "xab", "xab"),
        ("abc", "b", "AbC"),
        ("abcd", "db", "ACdb"),  # what stood before and between stays before the first of what was shared
        ("abc", "cax", "Bcax"),
        ("aad", "axy", "axDy"),  # what follows something that stands twice comes one applied entry later
        ("abb", "ca", "caBB"),  # twice in the object and not applied: nobody's business
        ("abba", "b", "AbA"),
    ],
)
def test_lists_merge_in_the_order_of_structured_merge_diff(live, applied, expected):
    assert merged(live, applied) == expected


@given(st.permutations("abcdefg"), st.lists(st.sampled_from("abcdefgxyz"), unique=True))
def test_applying_a_list_again_keeps_its_order(live, applied):
    once = merged(live, applied).lower()
    assert merged(once, applied).lower() == once
    assert sorted(once) == sorted(set(live) | set(applied)), "every entry, once"
    assert [segment for segment in once if segment in applied] == applied, "in the order that was applied"


def test_entries_that_stand_twice_in_an_object_survive_an_apply_of_others():
    def containers(*environment):
        return [{"name": "a", "env": [{"name": name, "value": value} for name, value in environment]}]

    def with_environment(*environment):
        return {**deployment(), "spec": {"template": {"spec": {"containers": containers(*environment)}}}}

    live = with_environment(("x", "1"), ("x", "2"), ("y", "1"))
    track_update(DEPLOYMENT, None, live, manager="kubectl-create", subresource="", now="t0")
    beside = apply(live, with_environment(("z", "1")))
    wanted = with_environment(("x", "1"), ("x", "2"), ("y", "1"), ("z", "1"))
    assert sorted_env(beside) == sorted_env(wanted)
    assert sorted_env(apply(beside, with_environment())) == sorted_env(live)
    instead = apply(live, with_environment(("x", "3")), force=True)
    assert sorted_env(instead) == [("x", "3"), ("y", "1")]


def sorted_env(obj):
    environment = obj["spec"]["template"]["spec"]["containers"][0]["env"]
    return sorted((variable["name"], variable["value"]) for variable in environment)


def test_an_object_that_nobody_tracked_is_tracked_from_the_first_apply_on():
    live = {**deployment(2), "status": {"replicas": 1}}
    changed = clone(live)
    changed["spec"]["paused"] = True
    track_update(DEPLOYMENT, live, changed, manager="kubectl-edit", subresource="", now="t0")
    assert "managedFields" not in changed["metadata"]
    merged = server_side_apply(DEPLOYMENT, changed, deployment(2), manager="m", force=False, subresource="", now="t1")
    assert owned(merged, "before-first-apply", "Update") == {".spec.replicas", ".spec.paused"}
    assert owned(merged, "m", "Apply") == {".spec.replicas"}


def test_an_apply_that_finds_everything_as_it_wants_it_has_no_time():
    live = deployment(2)
    track_update(DEPLOYMENT, None, live, manager="c", subresource="", now="t0")
    first = server_side_apply(DEPLOYMENT, live, deployment(2), manager="m", force=False, subresource="", now="t1")
    second = server_side_apply(DEPLOYMENT, first, deployment(3), manager="m", force=True, subresource="", now="t2")
    times = [[entry.get("time") for entry in made["metadata"]["managedFields"]] for made in (first, second)]
    assert times == [[None, "t0"], ["t2"]]

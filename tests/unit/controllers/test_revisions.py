import re

import pytest
from fake_cluster import named

from roadstead.controllers.revisions import (
    find_new,
    fnv1a,
    revision_annotations,
    safe_encoded,
    same_template,
    surplus_history,
    template_hash,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"


def replica_set(
    name, *, created="2026-01-01T00:00:00Z", revision="", replicas=0, image="a", labels=None, **annotations
):
    template = {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"image": image}}
    about = {"creationTimestamp": created, "generation": 1, "annotations": {REVISION: revision, **annotations}}
    status = {"observedGeneration": 1, "replicas": replicas}
    return named("ReplicaSet", name, metadata=about, spec={"replicas": replicas, "template": template}, status=status)


@pytest.mark.parametrize(("content", "value"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)])
def test_fnv1a_gives_the_published_values(content, value):
    assert fnv1a(content) == value


def test_a_hash_is_stable_safe_and_moved_by_collisions():
    template = {"spec": {"b": 1, "a": [1, 2]}, "metadata": {"labels": {"x": "y"}}}
    shuffled = {"metadata": {"labels": {"x": "y"}}, "spec": {"a": [1, 2], "b": 1}}
    assert template_hash(template, 0) == template_hash(shuffled, 0) == "57f56c7f56"
    assert template_hash(template, 1) != template_hash(template, 0)
    assert re.fullmatch("[bcdfghjklmnpqrstvwxz2456789]+", safe_encoded("0123456789"))


def test_templates_are_the_same_but_for_the_hash_label():
    one = {
        "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}, "creationTimestamp": None},
        "spec": {"a": 1},
    }
    assert same_template(one, {"metadata": {"labels": {"app": "web"}}, "spec": {"a": 1}})
    assert not same_template(one, {"metadata": {"labels": {"app": "web"}}, "spec": {"a": 2}})
    assert not same_template(one, {"metadata": {"labels": {}}, "spec": {"a": 1}})


def test_of_two_with_the_template_the_older_is_the_new_one():
    made = named(
        "Deployment", "web", spec={"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": "a"}}}
    )
    younger = replica_set("younger", created="2026-01-02T00:00:00Z")
    older = replica_set("older")
    assert find_new(made, [younger, older, replica_set("other", image="b")]) is older
    assert find_new(made, [replica_set("other", image="b")]) is None


def test_annotations_record_the_revisions_that_a_template_had_before():
    made = named("Deployment", "web", metadata={"annotations": {"note": "n", REVISION: "9"}})
    assert revision_annotations(made, None, 4) == {"note": "n", REVISION: "4"}
    assert revision_annotations(made, replica_set("a", revision="4"), 4) == {"note": "n", REVISION: "4"}
    again = replica_set("a", revision="2", **{HISTORY: "1"})
    assert revision_annotations(made, again, 4) == {"note": "n", REVISION: "4", HISTORY: "1,2"}


def test_only_empty_ones_beyond_the_limit_are_cleaned_up():
    olds = [replica_set(f"r{number}", revision=str(number), replicas=number == 2) for number in (3, 1, 2, 4)]
    assert [entry["metadata"]["name"] for entry in surplus_history(olds, 1)] == ["r1", "r3"]
    assert surplus_history(olds, 4) == []

import pytest
from fake_cluster import named

from roadstead.api.selectors import label_selector_of
from roadstead.controllers.ownership import claim

SELECTOR = label_selector_of({"app": "web"})
OTHERS = {"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "thing"}
OURS = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "me", "controller": True}


def owner(**metadata):
    return named("ReplicaSet", "rs", metadata={"uid": "me", **metadata})


def pod(*references, app="web", **metadata):
    return named(
        "Pod", "p", metadata={"uid": "p", "labels": {"app": app}, "ownerReferences": list(references), **metadata}
    )


@pytest.mark.parametrize(
    ("candidate", "holder", "claimed", "written"),
    [
        (pod(OURS), owner(), True, False),
        (pod(OURS, app="other"), owner(), False, True),
        (pod(OURS, app="other", deletionTimestamp="x"), owner(), False, False),
        (pod(), owner(), True, True),
        (pod(OTHERS), owner(), True, True),
        (pod(app="other"), owner(), False, False),
        (pod(deletionTimestamp="x"), owner(), False, False),
        (pod(), owner(deletionTimestamp="x"), False, False),
        (pod({**OURS, "uid": "another"}), owner(), False, False),
    ],
)
def test_who_is_claimed(candidate, holder, claimed, written):
    result = claim(holder, SELECTOR, [candidate])
    assert (result.objects == (candidate,), bool(result.actions)) == (claimed, written)


def test_other_owners_stay_when_one_is_added_or_removed():
    (adoption,) = claim(owner(), SELECTOR, [pod(OTHERS)]).actions
    assert [entry["uid"] for entry in adoption.patch["metadata"]["ownerReferences"]] == ["thing", "me"]
    (release,) = claim(owner(), SELECTOR, [pod(OTHERS, OURS, app="other")]).actions
    assert release.patch["metadata"]["ownerReferences"] == [OTHERS]

"""Strategic merge patches as kubectl sends them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.errors import BadRequest
from roadstead.api.objects import clone
from roadstead.api.resources import resource
from roadstead.apiserver.patches.strategic_merge import merge_object
from roadstead.apiserver.schemas import schema_of

POD, DEPLOYMENT, SERVICE = (schema_of(resource(kind)) for kind in ("Pod", "Deployment", "Service"))


def merge(original, patch, schema=POD):
    return merge_object(clone(original), clone(patch), schema)


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def test_containers_are_merged_by_name_and_new_ones_come_in_the_patchs_order():
    merged = merge(pod({"name": "a", "image": "1"}, {"name": "b"}), pod({"name": "b", "image": "2"}, {"name": "c"}))
    assert merged == pod({"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"})


def test_a_list_without_a_strategy_is_replaced():
    merged = merge(pod({"name": "a", "args": ["x", "y"]}), pod({"name": "a", "args": ["z"]}))
    assert merged == pod({"name": "a", "args": ["z"]})


def test_null_removes_a_field():
    assert merge({"spec": {"nodeName": "n", "hostname": "h"}}, {"spec": {"nodeName": None}}) == {
        "spec": {"hostname": "h"}
    }


def test_an_entry_is_deleted_by_its_key():
    merged = merge(pod({"name": "a"}, {"name": "b"}), pod({"name": "a", "$patch": "delete"}))
    assert merged == pod({"name": "b"})


def test_a_list_is_replaced_on_request():
    merged = merge(pod({"name": "a"}, {"name": "b"}), pod({"$patch": "replace"}, {"name": "c"}))
    assert merged == pod({"name": "c"})


def test_an_object_is_replaced_or_emptied_on_request():
    original = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    assert merge(original, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}})["metadata"]["labels"] == {
        "c": "3"
    }
    assert merge(original, {"metadata": {"labels": {"$patch": "delete"}}})["metadata"]["labels"] == {}


def test_set_element_order_moves_entries():
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert merge(pod({"name": "a"}, {"name": "b"}), patch) == pod({"name": "b"}, {"name": "a"})


def test_set_image_as_kubectl_sends_it():
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "web"}, {"name": "side"}],
                    "containers": [{"name": "web", "image": "web:2"}],
                }
            }
        }
    }
    original = {"spec": {"template": pod({"name": "web", "image": "web:1", "tty": True}, {"name": "side"})}}
    merged = merge(original, patch, DEPLOYMENT)
    assert merged["spec"]["template"] == pod({"name": "web", "image": "web:2", "tty": True}, {"name": "side"})


def test_entries_that_only_the_server_has_stay_where_they_were():
    original = pod({"name": "a"}, {"name": "injected"}, {"name": "b"})
    patch = {"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "b"}]}}
    assert [c["name"] for c in merge(original, patch)["spec"]["containers"]] == ["a", "injected", "b"]


def test_primitives_are_united_and_deleted():
    original = {"metadata": {"finalizers": ["a", "b"]}}
    assert merge(original, {"metadata": {"finalizers": ["b", "c"]}})["metadata"]["finalizers"] == ["a", "b", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert merge(original, patch)["metadata"]["finalizers"] == ["b"]


def test_retain_keys_drops_what_it_does_not_list():
    original = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert merge(original, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_service_ports_are_merged_by_port():
    original = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}]}}
    merged = merge(original, {"spec": {"ports": [{"port": 81, "targetPort": 5}]}}, SERVICE)
    assert merged["spec"]["ports"] == [{"port": 80, "name": "a"}, {"port": 81, "targetPort": 5}]


def test_directives_and_nulls_do_not_stay_in_what_is_new():
    merged = merge(
        {}, {"spec": {"$setElementOrder/volumes": [], "nodeName": None, "securityContext": {"$retainKeys": []}}}
    )
    assert merged == {"spec": {"securityContext": {}}}


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"$patch": "melt"}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": ["x"]}},
        {"spec": {"containers": [{"name": "a", "$patch": "merge"}]}},
        {"spec": {"$retainKeys": ["a"], "b": 1}},
        {"spec": {"$setElementOrder/containers": 5}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
    ],
)
def test_malformed_patches_are_refused(patch):
    with pytest.raises(BadRequest):
        merge({**pod({"name": "a"}), "metadata": {"finalizers": ["a"]}}, patch)


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


@st.composite
def pods(draw):
    return pod(*({"name": name, "image": draw(st.sampled_from("123"))} for name in draw(NAMES)))


@settings(max_examples=100)
@given(pods(), pods())
def test_a_patch_wins_and_nothing_else_is_lost(original, patch):
    merged = {c["name"]: c["image"] for c in merge(original, patch)["spec"]["containers"]}
    assert merged == {
        **{c["name"]: c["image"] for c in original["spec"]["containers"]},
        **{c["name"]: c["image"] for c in patch["spec"]["containers"]},
    }


@settings(max_examples=100)
@given(pods(), pods())
def test_merging_twice_changes_nothing_more(original, patch):
    once = merge(original, patch)
    assert merge(once, patch) == once


@settings(max_examples=100)
@given(pods(), pods())
def test_the_difference_as_kubectl_computes_it_gives_what_was_wanted(original, wanted):
    """Kubectl sends changed entries, deletions, and the whole order."""
    before = {c["name"]: c for c in original["spec"]["containers"]}
    after = {c["name"]: c for c in wanted["spec"]["containers"]}
    changed = [c for name, c in after.items() if before.get(name) != c]
    gone = [{"name": name, "$patch": "delete"} for name in before if name not in after]
    order = [{"name": name} for name in after]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": changed + gone}}
    assert merge(original, patch) == wanted

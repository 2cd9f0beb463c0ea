"""LimitRanges: defaults for those who ask for nothing, and the words in which others are refused."""

import pytest

from roadstead.api.objects import clone
from roadstead.apiserver.admission.limit_ranges import fill_in_limit_range, fill_in_resources, problems


def limit_range(**item):
    made = {"spec": {"limits": [{"type": "Container", **item}]}}
    fill_in_limit_range(made)
    return made


def pod(requests=None, limits=None):
    resources = {name: value for name, value in (("requests", requests), ("limits", limits)) if value is not None}
    containers = [{"name": "main", **({"resources": resources} if resources else {})}]
    return {"metadata": {"name": "a"}, "spec": {"containers": containers}}


def filled_in(made, *limit_ranges):
    fill_in_resources(made, limit_ranges)
    return made["spec"]["containers"][0]["resources"]


@pytest.mark.parametrize(
    ("item", "default", "default_request"),
    [
        ({"max": {"cpu": "2"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"max": {"cpu": "2"}, "default": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "1"}),
        ({"min": {"cpu": "1"}}, {}, {"cpu": "1"}),
        ({"min": {"cpu": "1"}, "max": {"cpu": "2"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "1"}),
    ],
)
def test_a_limit_range_says_its_own_defaults(item, default, default_request):
    found = limit_range(**item)["spec"]["limits"][0]
    assert (found.get("default", {}), found.get("defaultRequest", {})) == (default, default_request)


def test_containers_get_what_they_do_not_say_and_the_pod_says_so():
    made = pod({"memory": "1Gi"})
    assert filled_in(made, limit_range(default={"cpu": "1", "memory": "2Gi"}, defaultRequest={"cpu": "500m"})) == {
        "requests": {"memory": "1Gi", "cpu": "500m"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container main; "
        "cpu, memory limit for container main"
    }


def test_a_limit_of_its_own_is_a_containers_request_too():
    assert filled_in(pod(limits={"cpu": "2"}), limit_range(defaultRequest={"cpu": "1"}))["requests"] == {"cpu": "2"}


def test_what_is_said_is_left_alone():
    made = pod({"cpu": "1"}, {"cpu": "2"})
    before = clone(made)
    fill_in_resources(made, [limit_range(default={"cpu": "4"}), {"spec": {"limits": [{"type": "Pod"}]}}])
    assert made == before


@pytest.mark.parametrize(
    ("item", "requests", "limits", "expected"),
    [
        ({"min": {"cpu": "1"}}, {}, {}, ["minimum cpu usage per Container is 1.  No request is specified"]),
        ({"min": {"cpu": "1"}}, {"cpu": "500m"}, {}, ["minimum cpu usage per Container is 1, but request is 500m"]),
        (
            {"min": {"cpu": "1"}},
            {"cpu": "1"},
            {"cpu": "900m"},
            ["minimum cpu usage per Container is 1, but limit is 900m"],
        ),
        ({"max": {"cpu": "1"}}, {}, {}, ["maximum cpu usage per Container is 1.  No limit is specified"]),
        ({"max": {"cpu": "1"}}, {}, {"cpu": "2"}, ["maximum cpu usage per Container is 1, but limit is 2"]),
        (
            {"max": {"memory": "1Gi"}},
            {"memory": "2Gi"},
            {"memory": "1024Mi"},
            ["maximum memory usage per Container is 1Gi, but request is 2Gi"],
        ),
        ({"max": {"cpu": "1"}, "min": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "1"}, []),
        (
            {"max": {"cpu": "1", "memory": "1Gi"}},
            {},
            {"cpu": "2", "memory": "2Gi"},
            [
                "maximum cpu usage per Container is 1, but limit is 2",
                "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            ],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {"cpu": "3"},
            ["cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"],
        ),
        ({"maxLimitRequestRatio": {"cpu": "3"}}, {"cpu": "1"}, {"cpu": "3"}, []),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "0"},
            {"cpu": "3"},
            ["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {},
            ["cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"],
        ),
    ],
)
def test_containers_keep_within_their_bounds(item, requests, limits, expected):
    assert problems("pods", pod(requests, limits), [{"spec": {"limits": [{"type": "Container", **item}]}}]) == expected


def test_a_pod_is_held_to_the_sum_of_its_containers():
    made = pod({}, {"cpu": "1"})
    made["spec"]["containers"] *= 2
    bounds = [{"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1500m"}}]}}]
    assert problems("pods", made, bounds) == ["maximum cpu usage per Pod is 1500m, but limit is 2"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1Gi", []),
        ("500Mi", ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"]),
        ("3Gi", ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]),
    ],
)
def test_claims_keep_within_their_bounds(size, expected):
    item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    claim = {"spec": {"resources": {"requests": {"storage": size}}}}
    assert problems("persistentvolumeclaims", claim, [{"spec": {"limits": [item]}}]) == expected


def test_the_first_limit_range_that_is_offended_speaks():
    first, second = ({"spec": {"limits": [{"type": "Container", "max": {"cpu": bound}}]}} for bound in ("4", "1"))
    found = problems("pods", pod({}, {"cpu": "2"}), [first, second, second])
    assert found == ["maximum cpu usage per Container is 1, but limit is 2"]

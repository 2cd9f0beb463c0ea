"""What pods need as a whole."""

import pytest

from roadstead.apiserver.admission.resource_lists import pod_resources, printed, resource_list


def container(cpu, **fields):
    return {"name": "a", "resources": {"requests": {"cpu": cpu}}, **fields}


@pytest.mark.parametrize(
    ("containers", "starting", "expected"),
    [
        (["100m", "200m"], [], "300m"),
        (["100m"], ["500m", "400m"], "500m"),  # one after the other
        (["100m"], ["50m"], "100m"),
        (["100m"], [("300m", "Always")], "400m"),  # a sidecar goes on
        (["100m"], [("300m", "Always"), "500m"], "800m"),  # beside the sidecar that started before it
        (["100m"], ["500m", ("300m", "Always")], "500m"),
    ],
)
def test_init_containers_count_only_where_they_need_more(containers, starting, expected):
    split = [(entry, None) if isinstance(entry, str) else entry for entry in starting]
    init = [container(cpu, **({"restartPolicy": policy} if policy else {})) for cpu, policy in split]
    spec = {"containers": [container(cpu) for cpu in containers], "initContainers": init}
    assert str(pod_resources({"spec": spec}, "requests")["cpu"]) == expected


def test_what_a_pod_asks_for_as_a_whole_takes_the_place_of_the_sum():
    spec = {"containers": [container("100m")], "resources": {"requests": {"cpu": "2", "memory": "1Gi", "other/x": "1"}}}
    found = pod_resources({"spec": spec}, "requests")
    assert printed(found, found) == "cpu=2,memory=1Gi"


def test_sums_are_written_as_their_parts_are():
    spec = {"containers": [{"resources": {"limits": {"memory": text, "cpu": "250m"}}} for text in ("896Mi", "128Mi")]}
    assert printed(pod_resources({"spec": spec}, "limits"), ["memory", "cpu"]) == "cpu=500m,memory=1Gi"
    assert printed(resource_list({"memory": "1500Ki"}), ["memory", "pods"]) == "memory=1500Ki,pods=0"

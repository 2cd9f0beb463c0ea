"""What a pod's manifest asks of the node."""

from pathlib import Path

import pytest

from roadstead.node.environment import ReferenceProblem
from roadstead.node.netd_protocol import Mount
from roadstead.node.pod_spec import (
    Names,
    User,
    etc_files,
    hostname_of,
    mounts_of,
    priority_of,
    referenced_objects,
    sub_paths_of,
    user_of,
)

NAMES = Names("cluster.local", "10.96.0.10")


def pod(**spec):
    return {"metadata": {"name": "web-0", "namespace": "shop"}, "spec": {"containers": [], **spec}}


@pytest.mark.parametrize(
    ("pod_context", "own", "wanted"),
    [
        ({}, {}, User(0, 0)),
        ({"runAsUser": 1000}, {}, User(1000, 1000)),
        ({"runAsUser": 1000, "runAsGroup": 5}, {"runAsUser": 7}, User(7, 5)),
        ({"runAsNonRoot": True}, {}, User(65532, 65532)),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, User(0, 0)),
    ],
)
def test_users_come_from_container_then_pod(pod_context, own, wanted):
    assert user_of(pod(securityContext=pod_context), {"securityContext": own}) == wanted


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ({}, 0),
        ({"priority": 7, "priorityClassName": "mine"}, 7),
        ({"priorityClassName": "system-cluster-critical"}, 2_000_000_000),
        ({"priorityClassName": "not-known-here"}, 0),
    ],
)
def test_priorities(spec, priority):
    assert priority_of(pod(**spec)) == priority


def test_root_cannot_be_both_wanted_and_forbidden():
    with pytest.raises(ReferenceProblem, match="runAsNonRoot"):
        user_of(pod(), {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})


def test_names_of_the_pod_and_its_machine():
    manifest = pod(hostname="db", subdomain="data", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    assert hostname_of(manifest) == "db"
    hosts = etc_files(manifest, "10.244.0.7", NAMES, "")["/etc/hosts"].splitlines()
    assert "10.244.0.7\tdb.data.shop.svc.cluster.local\tdb" in hosts
    assert "1.2.3.4\ta\tb" in hosts


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        (
            {},
            [
                "search shop.svc.cluster.local svc.cluster.local cluster.local",
                "nameserver 10.96.0.10",
                "options ndots:5",
            ],
        ),
        ({"dnsPolicy": "Default"}, ["nameserver 9.9.9.9"]),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["x.org"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            ["search x.org", "nameserver 1.1.1.1", "options ndots:2 edns0"],
        ),
    ],
)
def test_how_names_are_looked_up(spec, lines):
    assert etc_files(pod(**spec), "x", NAMES, "nameserver 9.9.9.9\n")["/etc/resolv.conf"].splitlines() == lines


def test_mounts_are_where_the_volumes_are():
    manifest = pod(volumes=[
        {"name": "data", "emptyDir": {}},
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
        {"name": "config", "configMap": {"name": "c"}},
    ])  # fmt: skip
    container = {"volumeMounts": [
        {"name": "data", "mountPath": "/data", "subPathExpr": "$(POD)/x"},
        {"name": "fast", "mountPath": "/cache"},
        {"name": "config", "mountPath": "/etc/app"},
    ]}  # fmt: skip
    sources = {"data": Path("/v/data"), "config": Path("/v/config"), "fast": Path("/v/fast")}
    assert mounts_of(manifest, container, sources, {"POD": "web-0"}) == [
        Mount("/v/data/web-0/x", "/data"),
        Mount("fast", "/cache", memory=True),
        Mount("/v/config", "/etc/app", read_only=True),
    ]


def test_a_claim_may_be_read_only_for_all_containers():
    manifest = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}])
    container = {"volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": False}]}
    assert mounts_of(manifest, container, {"v": Path("/v")}, {}) == [Mount("/v", "/data", read_only=True)]


def test_a_volume_in_memory_of_which_a_part_is_mounted_is_a_folder():
    whole, part = ({"name": "fast", "mountPath": "/a"}, {"name": "fast", "mountPath": "/b", "subPath": "x"})
    containers = [{"name": "one", "volumeMounts": [whole]}, {"name": "two", "volumeMounts": [part]}]
    manifest = pod(volumes=[{"name": "fast", "emptyDir": {"medium": "Memory"}}], containers=containers)
    sources = {"fast": Path("/v/fast")}
    seen = [mounts_of(manifest, container, sources, {}) for container in containers]
    assert seen == [[Mount("/v/fast", "/a")], [Mount("/v/fast/x", "/b")]]


def test_parts_of_volumes():
    manifest = pod(volumes=[{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "c"}}])
    container = {"volumeMounts": [
        {"name": "data", "mountPath": "/data", "subPathExpr": "$(POD)/x"},
        {"name": "data", "mountPath": "/all"},
        {"name": "config", "mountPath": "/etc/app.conf", "subPath": "app.conf"},
    ]}  # fmt: skip
    sources = {"data": Path("/v/data"), "config": Path("/v/config")}
    assert sub_paths_of(manifest, container, sources, {"POD": "web-0"}) == [
        ("/data", Path("/v/data"), "web-0/x", True),
        ("/etc/app.conf", Path("/v/config"), "app.conf", False),
    ]


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"name": "nothing", "mountPath": "/x"}, "there is no volume 'nothing'"),
        ({"name": "data", "mountPath": "/x", "subPath": "../out"}, "must stay inside"),
        ({"name": "data", "mountPath": "/x", "subPath": "/etc"}, "must stay inside"),
    ],
)
def test_a_mount_that_cannot_be_is_named(mount, words):
    manifest = pod(volumes=[{"name": "data", "emptyDir": {}}])
    with pytest.raises(ReferenceProblem, match=words):
        mounts_of(manifest, {"volumeMounts": [mount]}, {"data": Path("/v")}, {})


def test_every_object_that_a_pod_uses_is_found():
    manifest = pod(
        containers=[
            {
                "name": "main",
                "envFrom": [{"configMapRef": {"name": "a"}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}],
            }
        ],
        volumes=[
            {"name": "1", "configMap": {"name": "c"}},
            {"name": "2", "secret": {"secretName": "d"}},
            {"name": "3", "projected": {"sources": [{"secret": {"name": "e"}}, {"downwardAPI": {}}]}},
        ],
    )
    wanted = {("ConfigMap", "a"), ("Secret", "b"), ("ConfigMap", "c"), ("Secret", "d"), ("Secret", "e")}
    assert referenced_objects(manifest) == wanted

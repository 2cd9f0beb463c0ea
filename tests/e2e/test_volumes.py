"""Claims of storage in a whole cluster: their data outlives pods, and goes with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.client_cluster import cluster, shell_pod
from e2e.commands import Commands, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with cluster(tmp_path_factory.mktemp("volumes"), "volumes") as commands:
        yield commands


def apply(commands: Commands, *objects: dict[str, Any]) -> None:
    (commands.home / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    commands.kubectl("apply", "-f", str(commands.home / "objects.yaml"))


def claim(name: str, **spec: Any) -> dict[str, Any]:
    size = {"requests": {"storage": "1Gi"}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": size, **spec},
    }  # fmt: skip


def writer(name: str, of: str) -> dict[str, Any]:
    """A pod that adds a line to a file of the claim, and tells how many there are."""
    pod = shell_pod(name, "echo x >> /data/log; wc -l < /data/log; sleep 1000")
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": of}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return pod


def lines_written(commands: Commands, name: str) -> str:
    commands.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    return eventually(lambda: commands.kubectl("logs", name).strip(), bool)


def folders(commands: Commands) -> list[Path]:
    return list(commands.home.glob("state/**/claims/*"))


def test_data_stays_with_its_claim_and_goes_with_it(commands: Commands) -> None:
    apply(commands, claim("data"))
    waiting = commands.get("pvc", "data")
    assert (waiting["status"]["phase"], waiting["spec"]["storageClassName"]) == ("Pending", "standard")
    apply(commands, writer("first", "data"))
    assert lines_written(commands, "first") == "1"
    commands.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=20s")
    commands.kubectl("delete", "pod", "first")
    apply(commands, writer("second", "data"))
    assert lines_written(commands, "second") == "2", "the next pod finds what the first has written"

    commands.kubectl("delete", "pvc", "data", "--wait=false")
    assert commands.get("pvc", "data")["metadata"]["deletionTimestamp"], "a pod uses it"
    commands.kubectl("delete", "pod", "second")
    commands.kubectl("wait", "--for=delete", "pvc/data", "--timeout=20s")
    eventually(lambda: commands.get("pv")["items"], lambda found: not found)
    eventually(lambda: folders(commands), lambda found: not found)

    apply(commands, claim("data"), writer("third", "data"))
    assert lines_written(commands, "third") == "1", "a namesake begins with nothing"


def test_a_volume_of_the_users_own_is_found_and_kept(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x\n" * 4)
    capacity = {"storage": "2Gi"}
    mine = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "mine"},
        "spec": {"capacity": capacity, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(tmp_path)}},
    }  # fmt: skip
    apply(commands, mine, claim("found", storageClassName=""), writer("reader", "found"))
    assert lines_written(commands, "reader") == "5"
    assert commands.get("pvc", "found")["status"]["capacity"] == capacity
    commands.kubectl("delete", "pod/reader", "pvc/found")
    eventually(lambda: commands.get("pv", "mine")["status"]["phase"], lambda phase: phase == "Released")
    assert (tmp_path / "log").read_text() == "x\n" * 5


def test_an_ephemeral_volume_lives_as_long_as_its_pod(commands: Commands) -> None:
    pod = writer("scratched", "ignored")
    template = {"metadata": {"labels": {"of": "scratch"}}, "spec": claim("ignored")["spec"]}
    pod["spec"]["volumes"] = [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]
    apply(commands, pod)
    assert lines_written(commands, "scratched") == "1"
    made = commands.get("pvc", "scratched-data")
    assert (made["status"]["phase"], made["metadata"]["labels"]) == ("Bound", {"of": "scratch"})
    commands.kubectl("delete", "pod", "scratched")
    commands.kubectl("wait", "--for=delete", "pvc/scratched-data", "--timeout=20s")
    volume = made["spec"]["volumeName"]
    eventually(lambda: [each for each in folders(commands) if each.name == volume], lambda found: not found)


def test_a_claim_may_grow_where_its_class_lets_it(commands: Commands) -> None:
    apply(commands, claim("grown"), writer("grower", "grown"))
    assert lines_written(commands, "grower") == "1"
    apply(commands, claim("grown", resources={"requests": {"storage": "7Gi"}}))
    commands.kubectl("wait", "--for=jsonpath={.status.capacity.storage}=7Gi", "pvc/grown", "--timeout=20s")
    commands.kubectl("patch", "storageclass", "standard", "-p", '{"allowVolumeExpansion": false}')
    more = '{"spec": {"resources": {"requests": {"storage": "9Gi"}}}}'
    refused = commands.run("kubectl", "patch", "pvc", "grown", "-p", more)
    assert 'persistentvolumeclaims "grown" is forbidden: only dynamically provisioned pvc' in refused.stderr


def test_a_part_of_a_volume_is_made_when_it_is_mounted(commands: Commands) -> None:
    pod = shell_pod("parts", "echo x > /part/file; echo y > /fast/file; cat /all/a/b/file /whole/c/file; sleep 1000")
    pod["spec"]["volumes"] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "parts"}},
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
    ]
    pod["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "data", "mountPath": "/all"},
        {"name": "data", "mountPath": "/part", "subPath": "a/b"},
        {"name": "fast", "mountPath": "/whole"},
        {"name": "fast", "mountPath": "/fast", "subPath": "c"},
    ]
    apply(commands, claim("parts"), pod)
    assert lines_written(commands, "parts").split() == ["x", "y"]


def test_a_link_in_a_volume_shows_nobody_the_machine(commands: Commands) -> None:
    maker = writer("maker", "shared")
    maker["spec"]["containers"][0]["command"] = ["sh", "-c", "ln -s /etc /data/link; sleep 1000"]
    apply(commands, claim("shared"), maker)
    commands.kubectl("wait", "--for=condition=Ready", "pod/maker", "--timeout=60s")
    eventually(lambda: [one for folder in folders(commands) for one in folder.glob("link")], bool)
    victim = writer("victim", "shared")
    victim["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "link"
    apply(commands, victim)
    told = "volumeMounts /data: subPath 'link' is not within the volume: a link leads out of it"
    eventually(
        lambda: commands.get("pod", "victim")["status"].get("containerStatuses") or [],
        lambda found: any(each["state"].get("waiting", {}).get("message") == told for each in found),
    )


def test_a_pod_says_which_claim_it_waits_for(commands: Commands) -> None:
    apply(commands, writer("patient", "absent"))
    told = '0/1 nodes are available: persistentvolumeclaim "absent" not found.'
    eventually(
        lambda: commands.get("pod", "patient")["status"].get("conditions") or [],
        lambda found: any(each.get("message") == told for each in found),
    )
    assert told in commands.kubectl("describe", "pod", "patient")
    apply(commands, claim("absent", storageClassName="made-for-elsewhere"))
    assert lines_written(commands, "patient") == "1"


def test_claims_of_a_stateful_set_go_with_pods_that_are_not_wanted_any_more(commands: Commands) -> None:
    pod = writer("ignored", "ignored")["spec"]
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {**pod, "restartPolicy": "Always", "volumes": []}}
    made = {"metadata": {"name": "data"}, "spec": claim("ignored")["spec"]}
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    stateful_set = {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template,
            "volumeClaimTemplates": [made], "persistentVolumeClaimRetentionPolicy": policy,
        },
    }  # fmt: skip
    before = len(folders(commands))
    apply(commands, stateful_set)
    commands.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    assert [lines_written(commands, name) for name in ("db-0", "db-1")] == ["1", "1"]
    assert len(folders(commands)) == before + 2

    commands.kubectl("scale", "statefulset/db", "--replicas=1")
    commands.kubectl("wait", "--for=delete", "pvc/data-db-1", "--timeout=30s")
    commands.kubectl("delete", "pvc", "data-db-0", "--wait=false")
    commands.kubectl("delete", "pod", "db-0")
    eventually(lambda: commands.run("kubectl", "get", "pod", "db-0").returncode, lambda code: code == 0)
    assert lines_written(commands, "db-0") == "1", "it has a new claim, with nothing in it"

    commands.kubectl("delete", "statefulset", "db")
    commands.kubectl("wait", "--for=delete", "pvc/data-db-0", "--timeout=30s")
    eventually(lambda: len(folders(commands)), lambda found: found == before)

"""Helm 4 (its Go SDK) against a whole cluster: a release from its installation to its end."""

import json
from collections.abc import Iterator
from pathlib import Path

import helm_python as helm
import pytest
from e2e.client_cluster import cluster
from e2e.commands import Commands, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
CHART = str(Path(__file__).parent / "charts" / "echo")
PATIENCE = 60


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with cluster(tmp_path_factory.mktemp("helm"), "helm") as commands:
        yield commands


@pytest.fixture
def config(commands: Commands) -> Iterator[helm.Config]:
    with helm.Config(kubeconfig_path=commands.home / "kubeconfig", namespace="default") as config:
        yield config


def deployed(commands: Commands, name: str) -> tuple[int, str]:
    """Return how many replicas are ready, and the greeting that the release has."""
    found = commands.get("deployment", name)
    greeting = commands.get("configmap", name)["data"]["GREETING"]
    return found["status"].get("readyReplicas", 0), greeting


def test_install_upgrade_roll_back_and_uninstall(commands: Commands, config: helm.Config) -> None:
    installed = config.install(CHART, "web", wait="watcher", timeout=PATIENCE)
    assert installed["status"] == "deployed"
    assert deployed(commands, "web") == (1, "hello")
    upgraded = config.upgrade(CHART, "web", {"replicas": 2, "greeting": "bye"}, wait="watcher", timeout=PATIENCE)
    assert (upgraded["status"], upgraded["revision"]) == ("deployed", 2)
    assert deployed(commands, "web") == (2, "bye")
    config.rollback("web", version=1, wait="watcher", timeout=PATIENCE)
    assert [(entry["revision"], entry["status"]) for entry in config.history("web")] == [
        (1, "superseded"), (2, "superseded"), (3, "deployed"),
    ]  # fmt: skip
    assert deployed(commands, "web") == (1, "hello")
    assert [release["name"] for release in config.list()] == ["web"]
    config.uninstall("web", wait="watcher", timeout=PATIENCE)
    assert commands.run("kubectl", "get", "deployment,service,configmap", "web").returncode == 1
    assert config.list() == []
    eventually(lambda: commands.kubectl("get", "pods", "-l", "app=web", "-o", "name"), lambda names: names == "")


def test_a_release_whose_pods_do_not_come_up_fails_and_is_taken_back(commands: Commands, config: helm.Config) -> None:
    config.install(CHART, "steady", wait="watcher", timeout=PATIENCE)
    with pytest.raises(helm.HelmError):
        config.upgrade(
            CHART, "steady", {"image": "registry.example.com/missing:1"}, wait="watcher", timeout=4,
            rollback_on_failure=True,
        )  # fmt: skip
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert commands.kubectl("get", "deployment", "steady", "-o", image) == "registry.example.com/echo:1"
    assert config.status("steady")["status"] == "deployed"
    config.uninstall("steady", wait="watcher", timeout=PATIENCE)


def test_a_failing_hook_fails_the_installation(commands: Commands, config: helm.Config) -> None:
    with pytest.raises(helm.HelmError):
        config.install(CHART, "hooked", {"hook": "exit 1"}, wait="watcher", timeout=30)
    failed = commands.get("job", "hooked-prepare")
    assert failed["status"]["failed"] == 1
    assert commands.run("kubectl", "get", "deployment", "hooked").returncode == 1
    config.uninstall("hooked")


def test_what_others_own_is_not_adopted(commands: Commands, config: helm.Config) -> None:
    commands.kubectl("create", "configmap", "taken")
    with pytest.raises(helm.HelmError, match="invalid ownership metadata"):
        config.install(CHART, "taken", timeout=30)


def test_a_namespace_is_made_and_a_dry_run_makes_nothing(commands: Commands, config: helm.Config) -> None:
    planned = config.install(CHART, "dry", dry_run="server", timeout=30)
    assert "kind: Deployment" in planned["manifest"]
    assert commands.run("kubectl", "get", "deployment", "dry").returncode == 1
    with helm.Config(kubeconfig_path=commands.home / "kubeconfig", namespace="elsewhere") as other:
        other.install(CHART, "web", namespace="elsewhere", create_namespace=True, wait="watcher", timeout=PATIENCE)
        [secret] = commands.get("secrets", "-n", "elsewhere", "-l", "owner=helm")["items"]
        assert (secret["type"], secret["metadata"]["labels"]["status"]) == ("helm.sh/release.v1", "deployed")
        eventually(lambda: json.dumps(other.get_values("web", all_values=True)), lambda text: "echo:1" in text)
        other.uninstall("web", wait="watcher", timeout=PATIENCE)

"""On a machine that gives no user namespaces: what is not enforced is said, and the rest works."""

import json
from pathlib import Path

import pytest
from e2e import small_system as small
from e2e.commands import BIN, Commands

from roadstead.cluster.layout import Layout

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
NAME = "bare"
SHIM = str(Path(__file__).parent / "without_namespaces.py")
POLICY = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": "closed", "namespace": "default"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}  # fmt: skip


@pytest.fixture
def commands(tmp_path):
    commands = Commands(tmp_path)
    yield commands
    assert commands.run("roadstead", "down", "--name", NAME).returncode == 0


def without_namespaces(commands: Commands, *arguments: str):
    return commands.run("python", SHIM, str(BIN / "roadstead"), *arguments)


def test_a_system_serves_and_says_that_policies_are_not_enforced(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", [*small.whole(), POLICY])
    done = without_namespaces(commands, "up", str(folder), "--name", NAME, "--detach", "-o", "json", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert "NetworkPolicies are not enforced" in done.stderr
    report = json.loads(done.stdout)
    assert {entry["state"] for entry in report["objects"]} == {"ready"}
    kubeconfig = ("--kubeconfig", str(Layout(tmp_path / "state" / "clusters" / NAME).kubeconfig))
    conditions = {
        entry["type"]: entry for entry in commands.get(f"node/{NAME}-node", *kubeconfig)["status"]["conditions"]
    }
    assert conditions["Ready"]["status"] == "True"
    assert conditions["NetworkPolicyEnforced"]["status"] == "False"
    [pod] = commands.get("pods", "-l", "app=echo", *kubeconfig)["items"]
    assert pod["status"]["podIP"].startswith("127.")


def test_namespaces_that_are_demanded_are_refused_with_the_reason(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    done = without_namespaces(commands, "up", str(folder), "--name", NAME, "--detach", "--isolation", "namespaces")
    assert done.returncode == 1
    assert "namespaces" in done.stderr


def test_the_doctor_says_what_is_missing_and_what_to_do(commands) -> None:
    done = without_namespaces(commands, "doctor", "--output", "json")
    assert done.returncode == 1, done.stderr
    found = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert found["NetworkPolicy"]["ok"] is False
    assert "user namespaces" in found["Namespaces for pods"]["remedy"]


def test_the_doctor_is_content_with_a_machine_that_has_everything(commands) -> None:
    done = commands.run("roadstead", "doctor", "--output", "json")
    assert done.returncode == 0, done.stdout
    assert all(entry["ok"] for entry in json.loads(done.stdout) if entry["needed"])

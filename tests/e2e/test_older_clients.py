"""kubectl 1.32 and Helm 3 against a whole cluster: older clients speak older dialects, LIST and WATCH among them."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from e2e.client_cluster import ECHO, SHELL, cluster, configmap, shell_pod
from e2e.commands import Commands, eventually
from e2e.older_tools import older_tool
from e2e.small_system import deployment, service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
CHART = str(Path(__file__).parent / "charts" / "echo")
Tool = Callable[..., str]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    older_tool("kubectl")
    with cluster(tmp_path_factory.mktemp("older"), "older") as commands:
        yield commands


def tool(commands: Commands, name: str) -> Tool:
    program = older_tool(name)

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [program, *arguments],
            env=dict(commands.environment), input=stdin, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    return run


@pytest.fixture
def kubectl(commands: Commands) -> Tool:
    return tool(commands, "kubectl")


@pytest.fixture
def helm(commands: Commands) -> Tool:
    return tool(commands, "helm")


def test_it_is_older(kubectl: Tool) -> None:
    said = kubectl("version")
    assert "Client Version: v1.32" in said
    assert "Server Version: v1.37" in said


def test_apply_diff_wait_and_roll_out(kubectl: Tool) -> None:
    whole = yaml.safe_dump_all([deployment("older", ECHO + "1"), service("older")])
    kubectl("apply", "-f", "-", stdin=whole)
    kubectl("rollout", "status", "deployment/older", "--timeout=60s")
    assert kubectl("diff", "-f", "-", stdin=whole) == ""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=whole)
    kubectl("set", "image", "deployment/older", f"server={ECHO}2")
    kubectl("rollout", "status", "deployment/older", "--timeout=60s")
    kubectl("rollout", "undo", "deployment/older")
    kubectl("wait", "--for=condition=Available", "deployment/older", "--timeout=60s")
    kubectl("scale", "deployment/older", "--replicas=2")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/older", "--timeout=60s")
    assert "older" in kubectl("get", "deployments,pods,services,endpointslices", "-o", "wide")
    assert "Replicas:" in kubectl("describe", "deployment", "older")
    kubectl("delete", "deployment,service", "older", "--cascade=foreground", "--timeout=60s")


def test_bodies_in_protobuf(kubectl: Tool) -> None:
    for line in (
        "configmap c --from-literal=a=1", "secret generic s --from-literal=a=1", "serviceaccount a",
        "role r --verb=get --resource=pods", "rolebinding b --role=r --serviceaccount=default:a",
        "service clusterip v --tcp=80:80", f"job j --image={SHELL} -- true",
        "poddisruptionbudget p --selector=a=b --min-available=1",
        "ingress i --rule=x.example.com/*=v:80", "quota q --hard=pods=10", "namespace n", "token a",
    ):  # fmt: skip
        kubectl("create", *line.split())
    assert "yes" in kubectl("auth", "can-i", "get", "pods", "--as=system:serviceaccount:default:a")
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    kubectl("delete", "namespace", "n", "--timeout=60s")


def test_streams(kubectl: Tool, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(shell_pod("older", "echo up; sleep 1000")))
    kubectl("wait", "--for=condition=Ready", "pod/older", "--timeout=60s")
    assert kubectl("logs", "older") == "up\n"
    assert kubectl("exec", "-i", "older", "--", "cat", stdin="typed") == "typed"
    assert "exit code 4" in kubectl("exec", "older", "--", "sh", "-c", "exit 4", code=4)
    (tmp_path / "file").write_text("copied")
    kubectl("cp", str(tmp_path / "file"), f"older:/tmp/{tmp_path.name}")
    kubectl("cp", f"older:/tmp/{tmp_path.name}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "copied"
    eventually(lambda: kubectl("events", "--for", "pod/older"), lambda text: "Started" in text)
    assert "DESCRIPTION" in kubectl("explain", "pod.spec.containers")
    kubectl("drain", "older-node", "--pod-selector=no=body")
    kubectl("uncordon", "older-node")


def test_watches(commands: Commands) -> None:
    watching = subprocess.Popen(
        [older_tool("kubectl"), "get", "configmap", "-w", "-o", "name", "--field-selector=metadata.name=seen"],
        env=dict(commands.environment), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        (commands.home / "seen.yaml").write_text(json.dumps(configmap("seen")))
        commands.kubectl("apply", "-f", str(commands.home / "seen.yaml"))
        assert watching.stdout is not None
        assert watching.stdout.readline() == "configmap/seen\n"
    finally:
        watching.terminate()
        watching.communicate()


def test_helm_3_installs_upgrades_rolls_back_and_uninstalls(helm: Tool, commands: Commands) -> None:
    assert helm("version").find('Version:"v3.') > 0
    helm("install", "three", CHART, "--wait", "--timeout=60s")
    helm("upgrade", "three", CHART, "--set", "greeting=bye", "--wait", "--atomic", "--timeout=60s")
    assert commands.get("configmap", "three")["data"] == {"GREETING": "bye"}
    helm("rollback", "three", "1", "--wait", "--timeout=60s")
    assert commands.get("configmap", "three")["data"] == {"GREETING": "hello"}
    assert [entry["status"] for entry in json.loads(helm("history", "three", "-o", "json"))][-1] == "deployed"
    helm("uninstall", "three", "--wait", "--timeout=60s")
    assert json.loads(helm("list", "-o", "json")) == []

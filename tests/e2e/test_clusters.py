"""kind's words: create, get and delete clusters, with the real kubectl against what they make."""

import json
import stat
import urllib.request

import pytest
import yaml
from e2e import small_system as small
from e2e.commands import Commands, eventually
from free_ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
HOST_PORT = free_port()
KIND_CONFIGURATION = f"""
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: devops
networking: {{podSubnet: 10.200.0.0/16, serviceSubnet: 10.201.0.0/16}}
nodes:
- role: control-plane
  extraPortMappings: [{{containerPort: 30080, hostPort: {HOST_PORT}}}]
- role: worker
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """A cluster made from a kind configuration, with a system applied by kubectl."""
    home = tmp_path_factory.mktemp("clusters")
    commands = Commands(home)
    folder = small.write(home / "project", [*small.whole(), *numbered_configmaps(3)])
    (folder / "cluster-config.yaml").write_text(KIND_CONFIGURATION)
    created = commands.run(
        "roadstead", "create", "cluster", "--name", "devops", "--config", f"{folder}/cluster-config.yaml"
    )
    assert created.returncode == 0, created.stderr
    assert "nodes: 2 are listed" in created.stderr
    assert 'Set kubectl context to "roadstead-devops"' in created.stderr
    commands.kubectl("apply", "-f", str(folder / "manifests.yaml"))
    commands.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")
    yield commands
    commands.roadstead("delete", "cluster", "--name", "devops")
    assert commands.roadstead("get", "clusters") == ""
    assert yaml.safe_load((home / "kubeconfig").read_text())["contexts"] == []


def numbered_configmaps(count: int):
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"config-{n}", "namespace": "default"}}
        for n in range(count)
    ]


def test_the_cluster_is_listed(commands) -> None:
    assert commands.roadstead("get", "clusters") == "devops\n"
    [cluster] = json.loads(commands.roadstead("get", "clusters", "-o", "json"))
    assert (cluster["name"], cluster["running"]) == ("devops", True)


def test_its_kubeconfig_is_printed_and_private(commands) -> None:
    printed = yaml.safe_load(commands.roadstead("get", "kubeconfig", "--name", "devops"))
    assert printed["current-context"] == "roadstead-devops"
    assert stat.S_IMODE((commands.home / "kubeconfig").stat().st_mode) == 0o600


def test_a_second_one_of_the_name_is_refused(commands) -> None:
    again = commands.run("roadstead", "create", "cluster", "--name", "devops")
    assert again.returncode == 1
    assert "running already" in again.stderr


def test_the_configured_ranges_are_used(commands) -> None:
    [pod] = commands.get("pods", "-l", "app=echo")["items"]
    assert pod["status"]["podIP"].startswith("10.200.")
    assert commands.get("service", "echo")["spec"]["clusterIP"].startswith("10.201.")


def test_a_mapped_node_port_answers_on_the_host(commands) -> None:
    commands.kubectl("create", "service", "nodeport", "mapped", "--tcp=80:8080", "--node-port=30080")
    commands.kubectl("set", "selector", "service/mapped", "app=echo")

    def fetched() -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{HOST_PORT}/", timeout=5) as answer:
                return answer.read()
        except OSError as error:
            return str(error).encode()

    assert eventually(fetched, lambda body: body == b"hello")
    commands.kubectl("delete", "service", "mapped")


def test_the_node_is_ready(commands) -> None:
    assert "devops-node" in commands.kubectl("get", "nodes", "--no-headers")
    commands.kubectl("wait", "--for=condition=Ready", "node/devops-node", "--timeout=60s")


def test_get_shows_columns_that_people_know(commands) -> None:
    commands.kubectl("wait", "--for=condition=Programmed", "gateway/gateway", "--timeout=60s")
    shown = commands.kubectl("get", "deploy,po,svc,gateways,httproutes", "-A")
    for word in ("READY", "UP-TO-DATE", "RESTARTS", "CLUSTER-IP", "PROGRAMMED", "HOSTNAMES", "echo.example.com"):
        assert word in shown, shown


def test_describe_tells_the_events_of_a_pod(commands) -> None:
    described = commands.kubectl("describe", "pod", "-l", "app=echo")
    for word in ("Scheduled", "Pulled", "Created", "Started"):
        assert word in described, described


def test_logs_exec_and_cp(commands) -> None:
    assert "listening" in commands.kubectl("logs", "deployment/echo")
    assert commands.kubectl("exec", "deployment/echo", "--", "hostname").startswith("echo-")
    failed = commands.run("kubectl", "exec", "deployment/echo", "--", "sh", "-c", "exit 7")
    assert failed.returncode == 7


def test_scale_up_and_down(commands) -> None:
    commands.kubectl("scale", "deployment/echo", "--replicas=3")
    commands.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")
    assert len(commands.get("pods", "-l", "app=echo")["items"]) == 3
    commands.kubectl("scale", "deployment/echo", "--replicas=1")
    eventually(lambda: len(commands.get("pods", "-l", "app=echo")["items"]), lambda count: count == 1)


def test_rollout_restart_and_undo(commands) -> None:
    [before] = [pod["metadata"]["name"] for pod in commands.get("pods", "-l", "app=echo")["items"]]
    commands.kubectl("rollout", "restart", "deployment/echo")
    commands.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")
    names = eventually(
        lambda: [pod["metadata"]["name"] for pod in commands.get("pods", "-l", "app=echo")["items"]],
        lambda names: len(names) == 1,
    )
    assert names != [before]
    commands.kubectl("rollout", "undo", "deployment/echo")
    commands.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")


def test_delete_waits_until_the_pods_are_gone(commands) -> None:
    commands.kubectl("create", "namespace", "short-lived")
    commands.kubectl("create", "configmap", "c", "--from-literal=a=b", "-n", "short-lived")
    commands.kubectl("delete", "namespace", "short-lived", "--timeout=60s")
    assert "NotFound" in commands.run("kubectl", "get", "namespace", "short-lived").stderr


def test_an_unknown_cluster_names_those_that_are_there(commands) -> None:
    done = commands.run("roadstead", "get", "kubeconfig", "--name", "nobody")
    assert done.returncode == 1
    assert "devops" in done.stderr

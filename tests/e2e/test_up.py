"""`roadstead up`: a system comes up from its manifests; what is wrong is named, and the rest comes up all the same."""

import http.client
import json
import signal
import socket
from pathlib import Path

import pytest
from e2e import small_system as small
from e2e.commands import Commands, eventually
from free_ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NAME = "up-test"


@pytest.fixture
def commands(tmp_path):
    commands = Commands(tmp_path)
    yield commands
    done = commands.run("roadstead", "down", "--name", NAME)
    assert done.returncode == 0, done.stderr


def up(commands: Commands, folder: Path, *options: str):
    """Run `up --detach -o json`; return its exit code, what it reported, and what it said on stderr."""
    arguments = ("up", str(folder), "--name", NAME, "--detach", "--output", "json", "--timeout", "60", *options)
    done = commands.run("roadstead", *arguments)
    report = json.loads(done.stdout) if done.stdout else None
    return done.returncode, report, done.stderr


def standing(report, kind: str, name: str) -> tuple[str, str]:
    [found] = [entry for entry in report["objects"] if entry["kind"] == kind and entry["key"][1] == name]
    return found["state"], found["message"]


def fetch(report, host: str = "echo.example.com") -> bytes:
    [entry] = [entry for entry in report["entries"] if entry["host"] == host and entry["secret"] is None]
    connection = http.client.HTTPConnection(entry["address"], entry["port"], timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    body = connection.getresponse().read()
    connection.close()
    return body


def test_a_system_comes_up_and_answers(commands, tmp_path) -> None:
    code, report, said = up(commands, small.write(tmp_path / "project", small.whole()))
    assert code == 0, said
    assert {entry["state"] for entry in report["objects"]} == {"ready"}
    assert fetch(report) == b"hello"


def test_every_kind_of_workload_is_waited_for(commands, tmp_path) -> None:
    """Each pod is ready a second after it has begun, and the second of the StatefulSet begins when the first is."""
    slow = "sleep 1; touch /tmp/ready; sleep 1000"
    container = {
        "name": "slow", "image": "roadstead.dev/tools", "command": ["sh", "-c", slow],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
    }  # fmt: skip
    template = {"metadata": {"labels": {"app": "slow"}}, "spec": {"containers": [container]}}
    selected = {"selector": {"matchLabels": {"app": "slow"}}, "template": template}
    once = {**container, "command": ["sleep", "1"], "readinessProbe": None}
    made = [
        workload("apps/v1", "StatefulSet", {"serviceName": "slow", "replicas": 2, **selected}),
        workload("apps/v1", "DaemonSet", selected),
        workload("batch/v1", "Job", {"template": {"spec": {"restartPolicy": "Never", "containers": [once]}}}),
        workload("v1", "Pod", template["spec"]),
    ]
    code, report, said = up(commands, small.write(tmp_path / "project", made))
    assert code == 0, said
    assert {entry["kind"]: (entry["state"], entry["message"]) for entry in report["objects"]} == {
        "StatefulSet": ("ready", "2/2 ready"),
        "DaemonSet": ("ready", "1/1 ready"),
        "Job": ("ready", "completed"),
        "Pod": ("ready", "ready"),
    }


def workload(version: str, kind: str, spec) -> dict:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "slow"}, "spec": spec}


def test_a_job_that_fails_did_not_come_up(commands, tmp_path) -> None:
    container = {"name": "once", "image": "roadstead.dev/tools", "command": ["false"]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    code, report, _ = up(commands, small.write(tmp_path / "project", [workload("batch/v1", "Job", spec)]))
    assert code == 1
    assert standing(report, "Job", "slow") == ("failed", "Job has reached the specified backoff limit")


@pytest.mark.parametrize("isolation", ["namespaces", "none"])
def test_both_kinds_of_isolation_serve(commands, tmp_path, isolation) -> None:
    code, report, said = up(commands, small.write(tmp_path / "project", small.whole()), "--isolation", isolation)
    assert code == 0, said
    assert fetch(report) == b"hello"
    assert ("not enforced" in said) is (isolation == "none"), said


def test_a_typo_in_a_field_names_object_field_and_line(commands, tmp_path) -> None:
    wrong = small.deployment("typo")
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    code, report, _ = up(commands, small.write(tmp_path / "project", [*small.whole(), wrong]))
    assert code == 1
    state, message = standing(report, "Deployment", "typo")
    assert state == "failed"
    assert "spec.template.spec.containers[0].imagee" in message
    assert "manifests.yaml:" in message
    assert fetch(report) == b"hello"


def test_an_unknown_image_says_what_to_add(commands, tmp_path) -> None:
    wrong = small.deployment("unknown", image="registry.example.com/nobody:2")
    code, report, _ = up(commands, small.write(tmp_path / "project", [*small.whole(), wrong]))
    assert code == 1
    state, message = standing(report, "Deployment", "unknown")
    assert state == "failed"
    assert '[images."registry.example.com/nobody:2"]' in message
    assert "roadstead.toml" in message
    assert fetch(report) == b"hello"


def test_a_route_to_a_missing_service_names_it(commands, tmp_path) -> None:
    code, report, _ = up(commands, small.write(tmp_path / "project", [*small.whole(), small.http_route("nowhere")]))
    assert code == 1
    state, message = standing(report, "HTTPRoute", "to-nowhere")
    assert (state, "default/nowhere" in message) == ("failed", True), message
    assert fetch(report) == b"hello"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(None, "does not exist"), ({"tls.crt": "bm90IFBFTQ==", "tls.key": "bm90IFBFTQ=="}, "PEM")],
    ids=["missing", "broken"],
)
def test_a_gateway_without_a_usable_secret_names_it(commands, tmp_path, data, expected) -> None:
    objects = [*small.whole(), small.gateway("secure", secret="absent")]
    if data is not None:
        metadata = {"name": "absent", "namespace": "default"}
        objects.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        )
    code, report, _ = up(commands, small.write(tmp_path / "project", objects))
    assert code == 1
    state, message = standing(report, "Gateway", "secure")
    assert state == "failed"
    assert "https" in message and "default/absent" in message and expected in message
    assert fetch(report) == b"hello"


def test_a_port_in_use_on_the_host_is_named(commands, tmp_path) -> None:
    """Every address that a Gateway may get has its port taken, as a program that listens on all addresses takes it."""
    folder = small.write(tmp_path / "project", [*small.whole()])
    port = free_port()
    manifests = (folder / "manifests.yaml").read_text().replace("port: 80\n    protocol", f"port: {port}\n    protocol")
    (folder / "manifests.yaml").write_text(manifests)
    with socket.create_server(("0.0.0.0", port)):
        code, report, _ = up(commands, folder)
    assert code == 1
    state, message = standing(report, "Gateway", "gateway")
    assert state != "ready"
    assert str(port) in message and "in use" in message
    assert standing(report, "Deployment", "echo")[0] == "ready"


def test_a_file_that_is_not_yaml_is_named_and_the_rest_comes_up(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    (folder / "broken.yaml").write_text("kind: [\n")
    _, report, said = up(commands, folder)
    assert "broken.yaml" in said
    assert fetch(report) == b"hello"


def test_ctrl_c_ends_everything(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    running = small.start_attached(commands, folder, NAME)
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0, rest
    assert commands.run("roadstead", "get", "clusters").stdout == ""


def test_a_wrong_project_file_ends_the_command_before_anything_starts(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    (folder / "roadstead.toml").write_text('[images.x]\ncomand = ["x"]\n')
    code, report, said = up(commands, folder)
    assert (code, report) == (2, None)
    assert "comand" in said and "Did you mean command?" in said
    assert commands.run("roadstead", "get", "clusters").stdout == ""


def test_what_ended_can_be_started_again(commands, tmp_path) -> None:
    folder = small.write(tmp_path / "project", small.whole())
    assert up(commands, folder)[0] == 0
    commands.roadstead("down", "--name", NAME)
    code, report, said = up(commands, folder)
    assert code == 0, said
    assert eventually(lambda: fetch(report), lambda body: body == b"hello")

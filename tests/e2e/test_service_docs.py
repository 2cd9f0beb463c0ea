"""What docs/service.md shows runs as it stands there."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import grpc
import pytest
from echo_service import async_handlers, loop_thread
from free_ports import free_port

from roadstead.service.passwords import hash_password
from roadstead.service.policy import parse_policy

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text()
EXAMPLE = ROOT / "examples" / "user-platform"
ALICE = (("username", "alice"), ("password", "wonderland"))


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in found]


def block_with(text: str, language: str = "python") -> str:
    (found,) = [code for code in blocks(language) if text in code]
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    """What the page mounts at /etc/user."""
    (tmp_path / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    (tmp_path / "policy.yaml").write_text(block_with("staff: [viewer]", "yaml"))
    return tmp_path


def get_user(channel: grpc.Channel, metadata) -> bytes:
    invoke = channel.unary_unary("/com.example.User/GetUser")
    return invoke(b"\x0a\x01x", metadata=metadata, timeout=20, wait_for_ready=True)


def test_the_complete_server(folder):
    code = blocks("python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    port = free_port()
    code = code.replace("/etc/user", str(folder)).replace("50051", str(port))
    environment = {**os.environ, "PYTHONPATH": f"{EXAMPLE}:{EXAMPLE / 'proto'}"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert b"asked by alice" in get_user(channel, ALICE)
            with pytest.raises(grpc.RpcError) as refused:
                get_user(channel, ())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert b'"method":"com.example.User/GetUser"' in said
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("text", ["anonymous:", "owner:", "user: [com.example.User/GetUser"])
def test_policies(text):
    parse_policy(block_with(text, "yaml"))


def ends(code: str, replaced=()) -> dict[str, str]:
    """Run a snippet that makes a `server`, and tell how calls of it end."""
    for old, new in replaced:
        code = code.replace(old, new)

    async def start() -> tuple[grpc.aio.Server, int]:
        names = {"grpc": grpc}
        exec(code, names)
        server = names["server"]
        for service in ("com.example.User", "grpc.health.v1.Health"):
            methods = {"GetUser": "unary_unary", "DeleteUser": "unary_unary", "WatchUsers": "unary_stream"}
            handlers = {name: async_handlers()[kind] for name, kind in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = loop_thread().run(start())
    bob = (("username", "bob"), ("password", "builder"))
    calls = {
        "right": ("com.example.User/GetUser", ALICE), "denied": ("com.example.User/DeleteUser", ALICE),
        "admin": ("com.example.User/DeleteUser", bob), "nobody": ("com.example.User/GetUser", ()),
        "twice": ("com.example.User/GetUser", (("username", "bob"), *ALICE)),
    }  # fmt: skip
    found = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        for name, (method, metadata) in calls.items():
            try:
                channel.unary_unary("/" + method)(b"hello", metadata=metadata, timeout=10)
                found[name] = "OK"
            except grpc.RpcError as error:
                found[name] = f"{error.code().name}: {error.details()}"
    loop_thread().run(server.stop(None))
    return found


def test_the_migration(folder):
    """Each sentence about the interceptor of one's own, and what takes its place."""
    before = ends(block_with("# before"))
    assert (before["right"], before["admin"]) == ("OK", "OK")
    assert before["denied"] == "PERMISSION_DENIED: no"
    assert before["nobody"].startswith("UNKNOWN: ")
    assert "'username'" in before["nobody"]
    assert before["twice"] == "OK"
    with (folder / "passwords").open("a") as passwords:
        passwords.write(f"bob:{hash_password('builder')}\n")
    (folder / "policy.yaml").write_text(block_with("identities: {alice: [user], bob: [admin]}", "yaml"))
    after = ends(block_with("# after"), [("/etc/user", str(folder))])
    assert (after["right"], after["admin"]) == ("OK", "OK")
    assert after["denied"] == "PERMISSION_DENIED: not allowed to call com.example.User/DeleteUser"
    assert after["nobody"] == "UNAUTHENTICATED: missing or wrong credentials"
    assert after["twice"].startswith("UNAUTHENTICATED: unusable credentials: metadata 'username'")

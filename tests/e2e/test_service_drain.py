"""The example's server as a real process: it leaves on SIGTERM, is killed, and gets new certificates, under load."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from echo_service import Certificates
from free_ports import free_port

from roadstead.service.passwords import hash_password

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "user-platform"
POLICY = "{anonymous: [com.example.User/Login], roles: {all: [com.example.User/*]}, identities: {alice: [all]}}"
ALICE = (("username", "alice"), ("password", "wonderland"))
SERVER = """
import asyncio, sys
from proto.user_pb2_grpc import UserServicer, add_UserServicer_to_server
from proto.user_pb2 import UserRecord
from roadstead.service import Server, Tls
class Slow(UserServicer):
    async def GetUser(self, request, context):
        await asyncio.sleep(0.1)
        return UserRecord(id=request.id)
server = Server(port=int(sys.argv[1]), address="127.0.0.1", tls=Tls.from_directory(sys.argv[2]))
add_UserServicer_to_server(Slow(), server)
asyncio.run(server.run())
"""

THREADED_SERVER = """
import sys, time
from proto.user_pb2_grpc import UserServicer, add_UserServicer_to_server
from proto.user_pb2 import UserRecord
from roadstead.service import ThreadedServer
class Slow(UserServicer):
    def GetUser(self, request, context):
        time.sleep(0.05)
        return UserRecord(id=request.id)
server = ThreadedServer(port=int(sys.argv[1]), address="127.0.0.1")
add_UserServicer_to_server(Slow(), server)
server.run()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    (tmp_path / "token-keys").write_text("k" * 40)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def processes():
    started: list[subprocess.Popen] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def start(processes, *arguments: str, pod: str = "") -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE), "LOG_LEVEL": "warning", "POD_NAME": pod}
    process = subprocess.Popen([sys.executable, *arguments], cwd=EXAMPLE, env=environment)
    processes.append(process)
    return process


def start_example(processes, folder: Path, port: int, pod: str) -> subprocess.Popen:
    files = [f"--{name}={folder / name}" for name in ("passwords", "token-keys")]
    arguments = ["-m", "server", f"--port={port}", *files, f"--policy={folder / 'policy.yaml'}"]
    return start(processes, *arguments, pod=pod)


def get_user(channel: grpc.Channel):
    return channel.unary_unary("/com.example.User/GetUser")(b"\x0a\x05alice", metadata=ALICE, timeout=10)


def reach(channel: grpc.Channel) -> None:
    grpc.channel_ready_future(channel).result(20)


@pytest.mark.parametrize("sort", ["example", "threads"])
def test_sigterm_under_load_loses_no_call_old_or_new(processes, folder, sort):
    port = free_port()
    if sort == "threads":
        process = start(processes, "-c", THREADED_SERVER, str(port))
    else:
        process = start_example(processes, folder, port, "leaving")
    target, quick = f"127.0.0.1:{port}", [("grpc.initial_reconnect_backoff_ms", 50)]
    ended: Counter[str] = Counter()
    with grpc.insecure_channel(target, quick) as old:
        reach(old)
        get_user(old)
        process.send_signal(signal.SIGTERM)
        told, late = time.monotonic(), 0
        # Within the lame duck phase both the old connection and new ones are served.
        while time.monotonic() - told < 1.2:
            for channel in (old, fresh := grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])):
                ended[_end(channel)] += 1
            fresh.close()
            late += 1
        assert process.wait(20) == 0
    assert late > 10
    assert ended == {"OK": 2 * late}


def _end(channel: grpc.Channel) -> str:
    try:
        get_user(channel)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return "OK"


def test_the_examples_client_loses_nothing_when_a_server_is_killed(processes, folder):
    ports = [free_port(), free_port()]
    servers = [start_example(processes, folder, port, f"pod-{port}") for port in ports]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.initial_reconnect_backoff_ms", 50)]) as channel:
            reach(channel)
    command = [sys.executable, "-m", "client", f"--login={target}", f"--users={target}", "--rate=50"]
    client = subprocess.Popen(
        [*command, "--username=alice", "--password=wonderland"],
        cwd=EXAMPLE, env={**os.environ, "PYTHONPATH": str(EXAMPLE)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    processes.append(client)
    assert client.stdout is not None
    for _ in range(2):
        assert "failed=0" in client.stdout.readline()
    servers[0].kill()
    for _ in range(2):
        client.stdout.readline()
    client.send_signal(signal.SIGTERM)
    rest = client.stdout.read()
    assert client.wait(20) == 0
    total = rest.splitlines()[-1]
    assert total.startswith("total calls=")
    assert " failed=0 " in total
    assert all(f"pod-{port}:" in total for port in ports), total


def test_a_new_certificate_is_taken_up_without_losing_a_call(processes, tmp_path):
    certificates = Certificates(tmp_path)
    mounted = certificates.write("localhost")
    port = free_port()
    process = start(processes, "-c", SERVER, str(port), str(mounted))
    trusted = grpc.ssl_channel_credentials(certificates.ca_pem)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.initial_reconnect_backoff_ms", 50)]
    ended: Counter[str] = Counter()
    stop = threading.Event()
    with grpc.secure_channel(f"127.0.0.1:{port}", trusted, options) as channel:
        reach(channel)

        def load() -> None:
            while not stop.is_set():
                ended[_end(channel)] += 1

        loading = threading.Thread(target=load)
        loading.start()
        fresh = certificates.write("localhost")
        serial = (fresh / "tls.crt").read_bytes()
        for name in ("tls.crt", "tls.key"):
            (fresh / name).replace(mounted / name)
        deadline = time.monotonic() + 20
        while not (taken := _presented(port, certificates) in serial.decode()) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
        loading.join()
    assert taken
    assert set(ended) == {"OK"}
    assert process.poll() is None


def _presented(port: int, certificates: Certificates) -> str:
    context = ssl.create_default_context(cadata=certificates.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True)).strip()

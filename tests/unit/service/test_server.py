import asyncio
import math
from collections import Counter

import grpc
import pytest
from echo_service import async_handlers, sync_handlers
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from roadstead.service import Server, ThreadedServer, Tls, standard_stages
from roadstead.service.credentials.certificate import CertificateVerifier
from roadstead.service.credentials.forwarded import HEADER as FORWARDED
from roadstead.service.credentials.forwarded import TrustedGateways
from roadstead.service.interceptors import Stage
from roadstead.service.passwords import hash_password
from roadstead.service.reflection import V1, V1ALPHA
from roadstead.service.wiring import Connections, Wiring, listen_address, shared_network_address


@pytest.mark.parametrize(("host", "address"), [
    ("", "[::]:50051"), ("10.0.0.1", "10.0.0.1:50051"), ("fd00::1", "[fd00::1]:50051"),
])  # fmt: skip
def test_addresses(host, address):
    assert listen_address(host, 50051) == address


@pytest.mark.parametrize(("pod_ip", "host"), [("127.7.0.3", "127.7.0.3"), ("10.244.0.7", ""), ("", ""), (None, "")])
def test_only_pods_that_share_a_network_listen_on_one_address(pod_ip, host):
    assert shared_network_address({} if pod_ip is None else {"POD_IP": pod_ip}) == host


@pytest.fixture(params=[Server, ThreadedServer])
def started(request, loop_thread):
    """Start servers of either sort with the echo service on them; returns the server and a channel to it."""
    running, channels = [], []

    def start(credentials=None, port=0, **settings) -> tuple[Wiring, grpc.Channel]:
        server = request.param(port=port, address="127.0.0.1", **settings)
        handlers = sync_handlers() if server.threaded else async_handlers()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        server.add_registered_method_handlers("test.Echo", handlers)
        begun = server.start()
        if begun is not None:
            loop_thread.run(begun)
        running.append(server)
        target = f"127.0.0.1:{server.port}"
        channel = grpc.secure_channel(target, *credentials) if credentials else grpc.insecure_channel(target)
        channels.append(channel)
        return server, channel

    yield start
    for channel in channels:
        channel.close()
    for server in running:
        ended = server.stop()
        if ended is not None:
            loop_thread.run(ended)


def echo(channel: grpc.Channel, metadata=()) -> str:
    try:
        return channel.unary_unary("/test.Echo/unary_unary")(b"who", metadata=metadata, timeout=10).decode()
    except grpc.RpcError as error:
        return error.code().name


def reflection_answers(channel: grpc.Channel, version: str) -> bool:
    try:
        return bool(list(channel.stream_stream(f"/{version}/ServerReflectionInfo")(iter([b""]), timeout=10)))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        return False


def test_it_serves_what_was_added_and_its_health(started):
    server, channel = started()
    assert echo(channel) == "nobody"
    assert server.services == ("test.Echo", "grpc.health.v1.Health")
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "test.Echo"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status == 1


def test_a_burst_loses_no_call(started, loop_thread):
    server, _ = started()

    async def burst(count: int) -> Counter:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            invoke = channel.unary_unary("/test.Echo/unary_unary")
            codes = await asyncio.gather(*(_code(invoke(b"x")) for _ in range(count)))
        return Counter(codes)

    async def _code(call) -> str:
        return (await call.code()).name

    assert loop_thread.run(burst(4000), timeout=60) == {"OK": 4000}


@pytest.mark.parametrize(("environment", "argument", "answers"), [
    ("development", None, True), ("production", None, False), ("", None, False),
    ("development", False, False), ("production", True, True),
])  # fmt: skip
def test_reflection_follows_the_environment_unless_it_is_told(started, environment, argument, answers):
    with capture_logs() as logs:
        _, channel = started(variables={"ROADSTEAD_ENVIRONMENT": environment}, reflection=argument)
    assert [reflection_answers(channel, version) for version in (V1, V1ALPHA)] == [answers] * 2
    warned = any("reflection is on in production" in log["event"] for log in logs)
    assert warned is (argument is True)


def test_a_port_that_is_taken_is_an_error(started):
    server, _ = started()
    with pytest.raises(RuntimeError, match=str(server.port)):
        started(port=server.port)


@pytest.mark.parametrize(("settings", "problem"), [
    ({"port": 99999}, "port must be 0 to 65535, not 99999"),
    ({"port": "50051"}, "port must be a whole number, not str"),
    ({"threads": 0}, "threads must be 1 or more, not 0"),
    ({"processes": 0}, "processes must be 1 or more, not 0"),
    ({"stages": [Stage(), Stage]}, r"stages\[1\] must be a Stage, not type"),
])  # fmt: skip
@pytest.mark.parametrize("sort", [Server, ThreadedServer])
def test_settings_that_no_server_can_have(sort, settings, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        sort(**settings)


def test_connections_last_for_ever_or_some_time():
    arguments = dict(Connections(max_age=math.inf).channel_arguments())
    assert arguments["grpc.max_connection_age_ms"] == 2**31 - 1
    with pytest.raises(ValueError, match="Connections: keepalive must be more than 0, not 0"):
        Connections(keepalive=0)


def test_a_server_is_started_once_and_complete(started, loop_thread):
    server, _ = started()
    with pytest.raises(RuntimeError, match="was started already: make another one"):
        server.start() if server.threaded else loop_thread.run(server.start())
    with pytest.raises(RuntimeError, match="was started already: add services before"):
        server.add_registered_method_handlers("test.Late", {})
    with pytest.raises(RuntimeError, match="was started already: add services before"):
        server.add_generic_rpc_handlers(())


def test_identity_and_policy_from_files(started, tmp_path):
    (tmp_path / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    (tmp_path / "policy.yaml").write_text("{roles: {all: [test.Echo/*]}, identities: {alice: [all]}}")
    stages = standard_stages(passwords=tmp_path / "passwords", policy=tmp_path / "policy.yaml")
    _, channel = started(stages=stages)
    right = (("username", "alice"), ("password", "wonderland"))
    assert echo(channel, right) == "alice"
    assert echo(channel) == "UNAUTHENTICATED"
    assert echo(channel, (("username", "alice"), ("password", "x"))) == "UNAUTHENTICATED"
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1, "probes have no credentials"


def test_a_policy_without_credentials_opens_its_anonymous_methods_only(started, tmp_path):
    (tmp_path / "policy.yaml").write_text("anonymous: [test.Echo/unary_unary]")
    _, channel = started(stages=standard_stages(policy=tmp_path / "policy.yaml"))
    assert echo(channel) == "nobody"
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.unary_stream("/test.Echo/unary_stream")(b"x", timeout=10))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_policy_with_a_misspelt_method_is_warned_of(started, tmp_path):
    (tmp_path / "policy.yaml").write_text("anonymous: [test.Echo/unary_unary, test.Echo/unari, other.Service/M]")
    with capture_logs() as logs:
        started(stages=standard_stages(policy=tmp_path / "policy.yaml"))
    (warning,) = [log for log in logs if log["log_level"] == "warning"]
    assert warning["methods"] == ("test.Echo/unari",)


@pytest.mark.parametrize("broken", ["passwords", "policy"])
def test_it_does_not_start_with_a_broken_file(tmp_path, broken):
    for name in ("passwords", "policy"):
        (tmp_path / name).write_text("a: [" if name == broken else "")
    with pytest.raises(ValueError, match=r"line \d"):
        standard_stages(passwords=tmp_path / "passwords", policy=tmp_path / "policy")


def test_tls(started, certificates):
    _, channel = started(
        tls=Tls.from_directory(certificates.write("localhost")),
        credentials=(
            grpc.ssl_channel_credentials(certificates.ca_pem),
            [("grpc.ssl_target_name_override", "localhost")],
        ),
    )
    assert echo(channel) == "nobody"


def test_tls_files_that_do_not_fit_are_refused(started, certificates, tmp_path):
    folder = certificates.write("localhost")
    other = certificates.write("other")
    (folder / "tls.key").write_bytes((other / "tls.key").read_bytes())
    with pytest.raises(ValueError, match="are no certificate and its key"):
        started(tls=Tls.from_directory(folder))


CLIENT_ID, GATEWAY_ID = "spiffe://cluster.local/ns/x/sa/client", "spiffe://cluster.local/ns/x/sa/gateway"
MUTUAL_POLICY = f"""
roles: {{echo: [test.Echo/*]}}
identities: {{"{CLIENT_ID}": [echo], alice: [echo]}}
"""


@pytest.fixture
def mutual(started, certificates, tmp_path):
    """A server with mutual TLS that knows a client and a gateway; returns a function that makes a channel."""
    (tmp_path / "policy.yaml").write_text(MUTUAL_POLICY)
    (tmp_path / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
    stages = standard_stages(
        passwords=tmp_path / "passwords",
        certificates=CertificateVerifier(gateways=TrustedGateways.of([GATEWAY_ID])),
        policy=tmp_path / "policy.yaml",
    )
    folder = certificates.write("localhost")
    opened = []

    def channel(uri: str) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(certificates.ca_pem, *certificates.client(uri))
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        if opened:
            made = grpc.secure_channel(f"127.0.0.1:{opened[0].port}", credentials, options)
            opened.append(made)
            return made
        server, made = started(
            stages=stages, tls=Tls.from_directory(folder, mutual=True), credentials=(credentials, options)
        )
        opened.append(server)
        return made

    yield channel
    for made in opened[1:]:
        made.close()


def test_a_client_certificate_is_an_identity_for_policy_and_handler(mutual):
    client = mutual(CLIENT_ID)
    assert echo(client) == CLIENT_ID
    assert list(client.stream_stream("/test.Echo/stream_stream")(iter([b"who"]), timeout=10)) == [CLIENT_ID.encode()]
    assert list(client.unary_stream("/test.Echo/unary_stream")(b"who", timeout=10)) == [CLIENT_ID.encode()] * 2
    stranger = mutual("spiffe://cluster.local/ns/x/sa/stranger")
    assert echo(stranger) == "PERMISSION_DENIED"
    assert echo(stranger, [(FORWARDED, f"URI={CLIENT_ID}")]) == "PERMISSION_DENIED", "not a trusted gateway"


def test_credentials_in_the_metadata_come_before_the_certificate(mutual):
    alice = (("username", "alice"), ("password", "wonderland"))
    assert echo(mutual("spiffe://cluster.local/ns/x/sa/stranger"), alice) == "alice"
    assert echo(mutual(CLIENT_ID), (("username", "alice"), ("password", "x"))) == "UNAUTHENTICATED"


def test_a_trusted_gateway_speaks_for_its_clients_and_not_for_itself(mutual):
    gateway = mutual(GATEWAY_ID)
    assert echo(gateway, [(FORWARDED, f"Hash=1;URI={CLIENT_ID}")]) == CLIENT_ID
    assert echo(gateway) == "UNAUTHENTICATED"
    assert echo(gateway, [(FORWARDED, 'URI="')]) == "UNAUTHENTICATED"

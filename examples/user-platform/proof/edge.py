"""The edge: reflection on purpose, TLS for the right names by the right authority, and the Ingress."""

import http.client
from datetime import UTC, datetime
from pathlib import Path

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from proto import helloworld_pb2, helloworld_pb2_grpc, user_pb2, user_pb2_grpc
from report import Check, expect
from system import BAR, FOO, GREETER, System, eventually

from roadstead.lib.pki import CertificateAuthority

STRANGER = "baz.example.com"
MISMATCHED = Path(__file__).parent / "mismatched-gateway.yaml"


def reflection_lists_the_service(system: System) -> str:
    services = ProtoReflectionDescriptorDatabase(system.channel(FOO)).get_services()
    return expect("com.example.User" in services, f"lists {', '.join(sorted(services))}")


def login_error(channel: grpc.Channel) -> grpc.RpcError | None:
    """Return the error of a Login over this channel, or None if it succeeds."""
    with channel:
        stub = user_pb2_grpc.UserStub(channel)
        try:
            stub.Login(user_pb2.LoginRequest(username="alice", password="wonderland"), timeout=5)
        except grpc.RpcError as error:
            return error
    return None


def another_authority_is_refused(system: System) -> str:
    other = CertificateAuthority.create("another authority", datetime.now(UTC)).pair.certificate
    error = login_error(system.new_channel(FOO, authority=other))
    details = error.details() if error is not None else "the call succeeded"
    return expect("CERTIFICATE_VERIFY_FAILED" in details, details[details.find("CERTIFICATE_VERIFY_FAILED") :])


def uncovered_name_is_refused(system: System) -> str:
    error = login_error(system.new_channel(STRANGER, at=BAR))
    details = error.details() if error is not None else "the call succeeded"
    return expect("Hostname Verification Check failed" in details, details.rpartition("UNAUTHENTICATED: ")[2])


def uncovered_name_is_told(system: System) -> str:
    """Apply a Gateway for a host that its certificate does not cover, and read what its status says."""
    system.kube("apply", "-f", str(MISMATCHED))
    try:
        return eventually(lambda: _complaints(system), lambda text: STRANGER in text)
    finally:
        system.kube("delete", "-f", str(MISMATCHED), "--wait=false")


def _complaints(system: System) -> str:
    status = system.get("gateway", "mismatched").get("status") or {}
    listeners = [entry for listener in status.get("listeners") or () for entry in listener.get("conditions") or ()]
    messages = {entry["message"] for entry in (*(status.get("conditions") or ()), *listeners) if entry.get("message")}
    return "; ".join(sorted(message for message in messages if STRANGER in message))


def greeter_answers_through_the_ingress(system: System) -> str:
    stub = helloworld_pb2_grpc.GreeterStub(system.channel(GREETER))
    message = stub.SayHello(helloworld_pb2.HelloRequest(name="Roadstead"), timeout=10).message
    return expect("Roadstead" in message, repr(message))


def plaintext_is_redirected(system: System) -> str:
    address, port = system.entry(GREETER, tls=False)
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": GREETER})
        answer = connection.getresponse()
        location = answer.getheader("Location", "")
    finally:
        connection.close()
    return expect(answer.status == 308 and location.startswith(f"https://{GREETER}"), f"{answer.status} {location}")


CHECKS = [
    Check("Reflection through foo.example.com", "com.example.User listed", reflection_lists_the_service),
    Check(
        "A client that trusts another authority", "it refuses the Gateway's certificate", another_authority_is_refused
    ),
    Check(
        f"A client that asks for {STRANGER}, which the certificate does not cover",
        "it refuses",
        uncovered_name_is_refused,
    ),
    Check(f"A Gateway for {STRANGER} with that certificate", "its status names the host", uncovered_name_is_told),
    Check(f"The greeter through the Ingress, {GREETER}, with TLS", "a greeting", greeter_answers_through_the_ingress),
    Check(f"Plaintext HTTP to {GREETER}", "308 to https", plaintext_is_redirected),
]

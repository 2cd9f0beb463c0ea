"""GRPCRoutes: methods, headers and the canary, through TLS at the Gateway."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from proto import user_pb2, user_pb2_grpc
from report import Check, Unexpected, expect
from system import BAR, FOO, System

ALICE = (("username", "alice"), ("password", "wonderland"))


def pod_and_version(call: grpc.Call) -> tuple[str, str]:
    """Return which pod answered and its version, from the reply's metadata."""
    found = dict(call.initial_metadata() or ()) | dict(call.trailing_metadata() or ())
    return str(found.get("x-pod", "?")), str(found.get("x-version", "?"))


def refused(call: Callable[[], object]) -> grpc.RpcError:
    """Return the error with which a call ends. Raises Unexpected if it succeeds."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise Unexpected(f"OK: {answer}")


def connections_to(address: str, port: int) -> int:
    """Count this process' established TCP connections to an address, from the kernel's own tables.

    gRPC opens sockets of IPv6 that carry IPv4, so both tables are read; in both the address ends in the same digits.
    """
    remote = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"
    ours = set(_own_descriptors())
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[2].endswith(remote) and row[3] == "01" and f"socket:[{row[9]}]" in ours)


def _own_descriptors() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        # The descriptor that reads this very folder is gone by then.
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def login_takes_turns(system: System) -> str:
    with system.new_channel(FOO) as channel:
        stub = user_pb2_grpc.UserStub(channel)
        pods: Counter[str] = Counter()
        for _ in range(9):
            _, call = stub.Login.with_call(user_pb2.LoginRequest(username="alice", password="wonderland"), timeout=10)
            pods[pod_and_version(call)[0]] += 1
        connections = connections_to(*system.entry(FOO))
    seen = f"{len(pods)} pods answered {sorted(pods.values())} of 9 calls, over {connections} connection"
    return expect(sorted(pods.values()) == [3, 3, 3] and connections == 1, seen)


def other_methods_are_unimplemented(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(FOO))
    error = refused(lambda: stub.GetUser(user_pb2.GetUserRequest(id="alice"), metadata=ALICE, timeout=10))
    return expect(error.code() is grpc.StatusCode.UNIMPLEMENTED, f"{error.code().name}: {error.details()}")


def versions_behind_bar(system: System, *metadata: tuple[str, str]) -> Counter[str]:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    versions: Counter[str] = Counter()
    for _ in range(10):
        _, call = stub.GetUser.with_call(user_pb2.GetUserRequest(id="alice"), metadata=(*ALICE, *metadata), timeout=10)
        versions[pod_and_version(call)[0].rsplit("-", 2)[0]] += 1
    return versions


def canary_by_header(system: System) -> str:
    seen = versions_behind_bar(system, ("env", "canary"))
    return expect(set(seen) == {"bar-svc-canary"}, f"answered by {dict(seen)}")


def stable_by_default(system: System) -> str:
    seen = versions_behind_bar(system) + versions_behind_bar(system, ("env", "staging"))
    return expect(set(seen) == {"bar-svc"}, f"answered by {dict(seen)}")


def all_four_kinds(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    user = stub.GetUser(user_pb2.GetUserRequest(id="alice"), metadata=ALICE, timeout=10)
    events = list(stub.WatchUsers(user_pb2.WatchUsersRequest(limit=2), metadata=ALICE, timeout=10))
    newcomers = (user_pb2.UserRecord(id=f"new-{n}", name=f"New {n}") for n in range(3))
    imported = stub.ImportUsers(newcomers, metadata=ALICE, timeout=10)
    lines = [user_pb2.ChatMessage(text=text) for text in ("hello", "goodbye")]
    chat = list(stub.Chat(iter(lines), metadata=ALICE, timeout=10))
    seen = (
        f"GetUser {user.id}, WatchUsers {len(events)} events, "
        f"ImportUsers {imported.created + imported.rejected} taken, Chat {len(chat)} answers"
    )
    return expect((user.id, len(events), imported.created + imported.rejected, len(chat)) == ("alice", 2, 3, 2), seen)


CHECKS = [
    Check("Login on foo.example.com is shared by the replicas", "3 pods in turn over 1 connection", login_takes_turns),
    Check("GetUser on foo.example.com has no route", "UNIMPLEMENTED", other_methods_are_unimplemented),
    Check("env: canary on bar.example.com", "only bar-svc-canary", canary_by_header),
    Check("env: staging, or no header, on bar.example.com", "only bar-svc", stable_by_default),
    Check("All four kinds of RPC through bar.example.com", "alice, 2 events, 3 users, 2 answers", all_four_kinds),
]

"""Who may call what: the interceptors of the service library, on unary calls and on streams."""

from collections.abc import Callable

import grpc
from proto import user_pb2, user_pb2_grpc
from report import Check, expect
from routing import ALICE, refused
from system import BAR, FOO, System

Metadata = tuple[tuple[str, str], ...]
WRONG: dict[str, Metadata] = {
    "no credentials": (),
    "an unknown user": (("username", "mallory"), ("password", "wonderland")),
    "a wrong password": (("username", "alice"), ("password", "looking-glass")),
}


def calls_of_all_kinds(stub: user_pb2_grpc.UserStub, metadata: Metadata) -> dict[str, Callable[[], object]]:
    """Return one call of each kind of RPC, to be made with these credentials."""
    options = {"metadata": metadata, "timeout": 10}
    return {
        "unary": lambda: stub.GetUser(user_pb2.GetUserRequest(id="alice"), **options),
        "server stream": lambda: list(stub.WatchUsers(user_pb2.WatchUsersRequest(limit=1), **options)),
        "client stream": lambda: stub.ImportUsers(iter([user_pb2.UserRecord(id="x", name="X")]), **options),
        "both": lambda: list(stub.Chat(iter([user_pb2.ChatMessage(text="hi")]), **options)),
    }


def strangers_are_refused(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    ends = {
        (who, kind): refused(call)
        for who, metadata in WRONG.items()
        for kind, call in calls_of_all_kinds(stub, metadata).items()
    }
    others = {
        key: error.code().name for key, error in ends.items() if error.code() is not grpc.StatusCode.UNAUTHENTICATED
    }
    messages = sorted({error.details() for error in ends.values()})
    return expect(not others, f"{len(ends) - len(others)} of {len(ends)} UNAUTHENTICATED {others or messages}")


def login_needs_the_password(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(FOO))
    error = refused(lambda: stub.Login(user_pb2.LoginRequest(username="alice", password="looking-glass"), timeout=10))
    return expect(error.code() is grpc.StatusCode.UNAUTHENTICATED, f"{error.code().name}: {error.details()}")


def alice_may_not_delete(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    error = refused(lambda: stub.DeleteUser(user_pb2.DeleteUserRequest(id="carol"), metadata=ALICE, timeout=10))
    return expect(error.code() is grpc.StatusCode.PERMISSION_DENIED, f"{error.code().name}: {error.details()}")


CHECKS = [
    Check(f"{', '.join(WRONG)}: on all four kinds of RPC", "UNAUTHENTICATED every time", strangers_are_refused),
    Check("Login with a wrong password", "UNAUTHENTICATED", login_needs_the_password),
    Check("alice calls DeleteUser, which her role does not hold", "PERMISSION_DENIED", alice_may_not_delete),
]

"""Who may call what: the interceptors of the service library, on unary calls and on streams."""

import grpc
from proto import user_pb2, user_pb2_grpc
from report import Check, expect
from routing import ALICE, refused
from system import BAR, FOO, System

WRONG = {
    "no credentials": (),
    "an unknown user": (("username", "mallory"), ("password", "wonderland")),
    "a wrong password": (("username", "alice"), ("password", "looking-glass")),
}


def strangers_are_refused(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    codes = {}
    for who, metadata in WRONG.items():
        calls = {
            "unary": stub.GetUser.future(user_pb2.GetUserRequest(id="alice"), metadata=metadata, timeout=10),
            "server stream": stub.WatchUsers(user_pb2.WatchUsersRequest(limit=1), metadata=metadata, timeout=10),
            "client stream": stub.ImportUsers.future(
                iter([user_pb2.UserRecord(id="x")]), metadata=metadata, timeout=10
            ),
            "both": stub.Chat(iter([user_pb2.ChatMessage(text="hi")]), metadata=metadata, timeout=10),
        }
        codes.update({(who, kind): refused(call) for kind, call in calls.items()})
    good = [error for error in codes.values() if error.code() is grpc.StatusCode.UNAUTHENTICATED]
    bad = {
        key: error.code().name for key, error in codes.items() if error.code() is not grpc.StatusCode.UNAUTHENTICATED
    }
    messages = {error.details() for error in good}
    return expect(len(good) == 12, f"{len(good)} of 12 UNAUTHENTICATED {bad or ''} {sorted(messages)}")


def login_needs_the_password(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(FOO))
    error = refused(stub.Login.future(user_pb2.LoginRequest(username="alice", password="looking-glass"), timeout=10))
    return expect(error.code() is grpc.StatusCode.UNAUTHENTICATED, f"{error.code().name}: {error.details()}")


def alice_may_not_delete(system: System) -> str:
    stub = user_pb2_grpc.UserStub(system.channel(BAR))
    error = refused(stub.DeleteUser.future(user_pb2.DeleteUserRequest(id="new-1"), metadata=ALICE, timeout=10))
    return expect(error.code() is grpc.StatusCode.PERMISSION_DENIED, f"{error.code().name}: {error.details()}")


CHECKS = [
    Check(f"{', '.join(WRONG)}: on all four kinds of RPC", "UNAUTHENTICATED every time", strangers_are_refused),
    Check("Login with a wrong password", "UNAUTHENTICATED", login_needs_the_password),
    Check("alice calls DeleteUser, which her role does not hold", "PERMISSION_DENIED", alice_may_not_delete),
]

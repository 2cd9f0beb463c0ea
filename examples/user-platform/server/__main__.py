"""Serve com.example.User until SIGTERM: `python -m server`.

Passwords, token keys and policy are files, mounted from a Secret and a ConfigMap, and read again when they change.
"""

import argparse
import asyncio
import os

from proto.user_pb2_grpc import add_UserServicer_to_server

from roadstead.service import Drain, Server
from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.credentials.token import TokenVerifier, parse_token_keys
from roadstead.service.files import WatchedFile
from roadstead.service.in_force import PolicyInForce
from roadstead.service.interceptors import AccessLog, Authentication, Authorization, Deadline, Errors, ReplyMetadata
from roadstead.service.logs import log_as_json
from roadstead.service.passwords import parse_password_file
from roadstead.service.policy import parse_policy
from server.store import UserStore
from server.user import User


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="server", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=50051)
    parser.add_argument("--store", default=":memory:", metavar="FILE", help="a SQLite file; in memory by default")
    parser.add_argument("--passwords", default="/etc/user-platform/credentials/passwords", metavar="FILE")
    parser.add_argument("--token-keys", default="/etc/user-platform/credentials/token-keys", metavar="FILE")
    parser.add_argument("--policy", default="/etc/user-platform/policy/policy.yaml", metavar="FILE")
    parser.add_argument("--lame-duck", type=float, default=Drain().lame_duck, metavar="SECONDS")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    passwords = PasswordVerifier(WatchedFile(arguments.passwords, parse_password_file).current)
    keys = WatchedFile(arguments.token_keys, parse_token_keys)
    tokens = TokenVerifier(keys.current, issuer="user-platform", audience="user-platform")
    policy = PolicyInForce(WatchedFile(arguments.policy, parse_policy).current)
    stages = [
        ReplyMetadata({"x-version": os.environ.get("VERSION", "dev"), "x-pod": os.environ.get("POD_NAME", "")}),
        AccessLog(),
        Errors(),
        Deadline(default=10.0),
        Authentication(passwords, tokens, is_open=policy.is_open),
        Authorization(policy),
    ]
    server = Server(port=arguments.port, stages=stages, drain=Drain(lame_duck=arguments.lame_duck))
    store = UserStore(arguments.store)
    add_UserServicer_to_server(User(store, passwords, tokens), server)
    try:
        await server.run()
    finally:
        passwords.close()
        store.close()


def main() -> None:
    log_as_json()
    asyncio.run(serve(parse_arguments()))


if __name__ == "__main__":
    main()

"""Call the platform at a steady rate until SIGTERM: `python -m client`.

Prints one line per second, one per failed call, and a summary at the end. Login and GetUser may be repeated without
harm, so the channel repeats them when a pod goes away; a call counts as failed only if that was not enough.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from proto import user_pb2
from proto.user_pb2_grpc import UserStub

from client.tally import Tally
from roadstead.lib.tasks import spawn
from roadstead.service.channel import channel, password

IDEMPOTENT = ("com.example.User/Login", "com.example.User/GetUser")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="client", description=__doc__.splitlines()[0])
    parser.add_argument("--login", default="foo-pods:50051", metavar="TARGET", help="where Login is called")
    parser.add_argument("--users", default="bar-pods:50051", metavar="TARGET", help="where GetUser is called")
    parser.add_argument("--rate", type=float, default=20.0, metavar="N", help="calls per second")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--ca-file", metavar="FILE", help="use TLS and trust these authorities")
    parser.add_argument("--login-host", metavar="NAME", help="host name to ask for at the Login target")
    parser.add_argument("--users-host", metavar="NAME", help="host name to ask for at the GetUser target")
    parser.add_argument("--username", default=os.environ.get("CLIENT_USERNAME", "frontend"))
    parser.add_argument("--password", default=os.environ.get("CLIENT_PASSWORD", ""), help="$CLIENT_PASSWORD by default")
    return parser.parse_args()


class Client:
    """Starts a call whenever one is due, whether or not earlier ones have ended."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._stopping = asyncio.Event()
        self._second = Tally()
        self._total = Tally()
        self._running: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        arguments = self._arguments
        logins = self._open(arguments.login, arguments.login_host)
        users = self._open(arguments.users, arguments.users_host)
        try:
            await self._keep_calling([self._login(logins), self._get_user(users)])
        finally:
            await asyncio.gather(*self._running)
            self._report()
            print(f"total {self._total.line()}", flush=True)
            await asyncio.gather(logins.close(), users.close())

    async def _keep_calling(self, calls: list[Callable[[], Awaitable[Any]]]) -> None:
        begun = time.monotonic()
        number, reported = 0, begun
        while not self._stopping.is_set():
            self._spawn(calls[number % len(calls)])
            number += 1
            if time.monotonic() - reported >= 1.0:
                reported += 1.0
                self._report()
            await self._pause(begun + number / self._arguments.rate - time.monotonic())

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    def _spawn(self, call: Callable[[], Awaitable[Any]]) -> None:
        task = spawn(self._measure(call), name="call")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _measure(self, call: Callable[[], Any]) -> None:
        started = time.monotonic()
        try:
            reply = call()
            await reply
            metadata = await reply.initial_metadata()
            self._second.answered(str(metadata.get("x-pod") or "?"), time.monotonic() - started)
        except grpc.aio.AioRpcError as error:
            self._second.failed(error.code().name, time.monotonic() - started)
            print(f"failed code={error.code().name} details={error.details()!r}", flush=True)

    def _report(self) -> None:
        if self._second.calls:
            print(self._second.line(), flush=True)
        self._total.add(self._second)
        self._second = Tally()

    def _open(self, target: str, host: str | None) -> grpc.aio.Channel:
        arguments = self._arguments
        return channel(
            target,
            credentials=password(arguments.username, arguments.password),
            idempotent=IDEMPOTENT,
            timeout=arguments.timeout,
            ca_file=arguments.ca_file,
            authority=host,
        )

    def _login(self, opened: grpc.aio.Channel) -> Callable[[], Any]:
        stub = UserStub(opened)
        request = user_pb2.LoginRequest(username=self._arguments.username, password=self._arguments.password)
        return lambda: stub.Login(request)

    def _get_user(self, opened: grpc.aio.Channel) -> Callable[[], Any]:
        stub = UserStub(opened)
        return lambda: stub.GetUser(user_pb2.GetUserRequest(id="alice"))


async def serve(arguments: argparse.Namespace) -> None:
    client = Client(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, client.stop)
    await client.run()


if __name__ == "__main__":
    asyncio.run(serve(parse_arguments()))

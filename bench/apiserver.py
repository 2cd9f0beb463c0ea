"""The API server's figures: start-up, memory, reads, lists, writes with and without watchers, and events' latency.

The server runs in a process of its own on loopback with TLS, as in a cluster; this process is the client. On a machine
with two cores the client's own work limits what is seen: `server CPU` is the server's share per operation, and is the
figure to compare on a machine that does other work too. `--seconds` and `--pods` make it shorter or smaller,
`--profile` prints where the server's time goes.
"""

import argparse
import asyncio
import contextlib
import cProfile
import json
import logging
import os
import pstats
import signal
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from roadstead.apiserver.calls import User
from roadstead.apiserver.server import ApiServer, ApiServerConfig
from roadstead.lib import garbage
from roadstead.lib.pki import CertificateAuthority

CLIENTS = 8
SAMPLES = 100
EVENTS_PER_SECOND = 2_000
NAMESPACE = "/api/v1/namespaces/default"


def config(folder: Path) -> ApiServerConfig:
    """Return a server's configuration, with certificates made where there are none."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.load_or_create(folder / "ca.crt", folder / "ca.key", "bench", now)
    authority.issue("server", now, hosts=["127.0.0.1"]).write(folder / "server.crt", folder / "server.key")
    tokens = {"bench": User("bench", ("system:masters",))}
    return ApiServerConfig(folder / "state", folder / "server.crt", folder / "server.key", folder / "ca.crt", tokens)


async def serve(folder: Path) -> None:
    """Be the server: print the port, then serve until killed."""
    import socket

    logging.getLogger("asyncio").setLevel(logging.ERROR)  # not that watchers of the last measurement have gone
    listening = socket.create_server(("127.0.0.1", 0))
    server = ApiServer(config(folder), sockets=[listening])
    await server.start()
    garbage.resume()  # as the supervisor does
    print(listening.getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def profiled(folder: Path) -> None:
    """Be the server until terminated, and then print where the time went."""
    profile = cProfile.Profile()
    profile.enable()
    serving, ended = asyncio.get_running_loop().create_task(serve(folder)), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    profile.disable()
    assert not serving.done()
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)
    sys.stderr.flush()
    os._exit(0)


class Client:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, folder: Path, port: int) -> "Client":
        """Connect."""
        tls = ssl.create_default_context(cafile=folder / "ca.crt")
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=1 << 26))

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> None:
        """Send a request."""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer bench\r\naccept: application/json\r\n"
            f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)

    async def answer(self) -> bytes:
        """Return the body of the answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 201")), head
        start = head.index(b"content-length:") + 15
        return await self.reader.readexactly(int(head[start : head.index(b"\r", start)]))


def pod(name: str) -> bytes:
    """Return a pod of about 2 kB once the server has completed it."""
    variables = [{"name": f"VARIABLE_{number}", "value": f"value {number}"} for number in range(8)]
    probe = {"grpc": {"port": 8080}, "periodSeconds": 5}
    container = {
        "name": "main",
        "image": "registry.example.com/user:1.0.0",
        "env": variables,
        "ports": [{"containerPort": 8080, "name": "grpc"}],
        "readinessProbe": probe,
        "livenessProbe": probe,
    }
    labels = {"app": "user", "pod-template-hash": "5d9c8bd6f7"}
    return json.dumps({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}}).encode()


Job = Callable[[Client, int], Awaitable[bytes]]


class Bench:
    """A running server and its clients."""

    def __init__(self, folder: Path, port: int, pid: int, seconds: float) -> None:
        self.folder = folder
        self.port = port
        self.pid = pid
        self._seconds = seconds

    def cpu(self) -> float:
        """Return the seconds of CPU that the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the server's resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise LookupError("VmRSS")

    async def rate(self, what: str, job: Job, *, clients: int = CLIENTS) -> None:
        """Print how often per second some clients together can do a job."""
        connections = [await Client.open(self.folder, self.port) for _ in range(clients)]
        end = time.perf_counter() + self._seconds
        latencies: list[float] = []

        async def work(client: Client, number: int) -> None:
            while (begun := time.perf_counter()) < end:
                await job(client, number)
                latencies.append(time.perf_counter() - begun)

        before, begun = self.cpu(), time.perf_counter()
        await asyncio.gather(*(work(client, number) for number, client in enumerate(connections)))
        took, used = time.perf_counter() - begun, self.cpu() - before
        centiles = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
        p50, p99, each = centiles[49] * 1e3, centiles[98] * 1e3, used / len(latencies) * 1e3
        rate = len(latencies) / took
        print(f"{what:<34} {rate:>9,.0f}/s   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   server CPU {each:6.3f} ms each")
        for client in connections:
            client.writer.close()


def numbers() -> Iterator[int]:
    """Count for ever."""
    number = 0
    while True:
        number += 1
        yield number


async def get(client: Client, number: int) -> bytes:
    """Read one pod."""
    client.ask("GET", f"{NAMESPACE}/pods/p{number + 1}")
    return await client.answer()


async def list_pods(client: Client, _: int) -> bytes:
    """Read all pods."""
    client.ask("GET", f"{NAMESPACE}/pods")
    return await client.answer()


async def list_page(client: Client, _: int) -> bytes:
    """Read the first page of pods."""
    client.ask("GET", f"{NAMESPACE}/pods?limit=100")
    return await client.answer()


def version_in(body: bytes) -> bytes:
    """Return the version of an object, which is the first of its name in its JSON."""
    return body.split(b'"resourceVersion":"', 1)[1].split(b'"', 1)[0]


class Watchers:
    """Clients that watch all pods, and remember when they heard of which version, if that is wanted."""

    def __init__(self) -> None:
        self.events = 0
        self.heard: dict[bytes, list[float]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[Client] = []

    async def open(self, bench: "Bench", count: int) -> None:
        """Begin to watch; returns when all do."""
        for _ in range(count):
            client = await Client.open(bench.folder, bench.port)
            client.ask("GET", f"{NAMESPACE}/pods?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
            await client.reader.readuntil(b"\r\n\r\n")
            self._clients.append(client)
            self._tasks.append(asyncio.get_running_loop().create_task(self._watch(client)))

    async def _watch(self, client: Client) -> None:
        rest = b""
        while chunk := await client.reader.read(1 << 20):
            now = time.perf_counter()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b'{"type"'):
                    self.events += 1
                    if self.heard is not None:
                        self.heard.setdefault(version_in(line), []).append(now)

    async def close(self) -> None:
        """Watch no more."""
        for task, client in zip(self._tasks, self._clients, strict=True):
            task.cancel()
            client.writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def latency(bench: "Bench", count: int, write: Job) -> None:
    """Print how long after a write's reply its event arrives at each watcher, at a pace that this client can keep."""
    watchers = Watchers()
    await watchers.open(bench, count)
    watchers.heard = {}
    client = await Client.open(bench.folder, bench.port)
    replies: dict[bytes, float] = {}
    for number in range(SAMPLES):
        body = await write(client, number)
        replies[version_in(body)] = time.perf_counter()
        await asyncio.sleep(count / EVENTS_PER_SECOND)
    while any(len(watchers.heard.get(version, ())) < count for version in replies):
        await asyncio.sleep(0.1)
    await watchers.close()
    delays = [max(0.0, heard - replied) for version, replied in replies.items() for heard in watchers.heard[version]]
    centiles = statistics.quantiles(delays, n=100)
    print(
        f"{f'event after its reply, {count} watchers':<34} {'':>11}   p50 {centiles[49] * 1e3:6.2f} ms   "
        f"p99 {centiles[98] * 1e3:6.2f} ms"
    )


async def measure(folder: Path, options: argparse.Namespace) -> None:
    """Start a server and print its figures."""
    begun = time.perf_counter()
    command = [sys.executable, __file__, "--serve", str(folder), *(["--profile"] if options.profile else [])]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    print(f"{'start, interpreter and all':<34} {time.perf_counter() - begun:>9.2f} s")
    bench = Bench(folder, port, process.pid, options.seconds)
    print(f"{'memory, empty':<34} {bench.memory():>9.0f} MiB")
    try:
        await figures(bench, options.pods)
        if options.profile:
            process.terminate()
            await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def figures(bench: Bench, pods: int) -> None:
    """Print everything that needs a running server."""
    count = numbers()

    async def create(client: Client, _: int) -> bytes:
        client.ask("POST", f"{NAMESPACE}/pods", pod(f"p{next(count)}"))
        return await client.answer()

    clients = [await Client.open(bench.folder, bench.port) for _ in range(CLIENTS)]
    begun = time.perf_counter()
    for _ in range(pods // CLIENTS):
        await asyncio.gather(*(create(client, 0) for client in clients))
    print(f"{'create pods':<34} {pods / (time.perf_counter() - begun):>9,.0f}/s")
    print(f"{f'memory, {pods:,} pods':<34} {bench.memory():>9.0f} MiB")
    await bench.rate("GET one", get)
    await bench.rate("LIST limit=100", list_page)
    await bench.rate(f"LIST {pods:,}", list_pods, clients=2)

    async def status(client: Client, number: int) -> bytes:
        patch = json.dumps({"status": {"message": str(next(count))}}).encode()
        client.ask("PATCH", f"{NAMESPACE}/pods/p{number + 1}/status", patch, "application/merge-patch+json")
        return await client.answer()

    async def label(client: Client, number: int) -> bytes:
        patch = json.dumps({"metadata": {"labels": {"n": str(next(count))}}}).encode()
        client.ask("PATCH", f"{NAMESPACE}/pods/p{number + 1}", patch, "application/merge-patch+json")
        return await client.answer()

    await bench.rate("PATCH status, no watcher", status)
    await bench.rate("PATCH, no watcher", label)
    for number in (50, 200):
        watchers = Watchers()
        await watchers.open(bench, number)
        await bench.rate(f"PATCH status, {number} watchers", status)
        await watchers.close()
        print(f"{'':<34} {watchers.events:>9,} events received")
        await latency(bench, number, status)
    print(f"{'memory, at the end':<34} {bench.memory():>9.0f} MiB")


def main() -> None:
    """Be the server if a folder is named, else measure one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each rate is measured")
    parser.add_argument("--pods", type=int, default=5_000)
    parser.add_argument(
        "--profile", action="store_true", help="print the server's profile at the end (it is slower then)"
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(profiled(options.serve) if options.profile else serve(options.serve))
        return
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as folder:
        asyncio.run(measure(Path(folder), options))


if __name__ == "__main__":
    main()

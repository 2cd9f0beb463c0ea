"""What do identity, policy and the other interceptors cost? `python bench/service.py`, about 45 seconds.

Servers of one process each, side by side in one run: bare grpc.aio, `roadstead.service.Server` with password identity
and a policy, and with everything a service usually has, the three once more with threads, identity and policy as an
interceptor of a plain server, bare grpc.aio on uvloop, and grpc-interceptor with the simplest check that one can write
with it. One client process keeps a fixed number of unary
calls in flight against one server at a time, in short turns of shuffled order, so that a noisy neighbour hits all of
them alike. What is compared is the server's own CPU time per call (from the kernel's scheduler), which hardly depends
on how busy the machine is, and the calls per second, which do. Ratios are medians of the turns, the bare server of the
same sort = 1. At last: how late is an event loop while passwords are verified for the first time?

Needs the extra `bench`.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
from choices import some_of

MESSAGE = b"x" * 118
METHOD = "/bench.Echo/Echo"
IDENTITY = (("username", "alice"), ("password", "wonderland"))
POLICY = "{roles: {caller: [bench.Echo/Echo]}, identities: {alice: [caller]}}"
USERS = 10
THREADS = 16


class Arm(NamedTuple):
    """One server: its sort, what is around its handler, and the arm that it is compared with.

    "chain" is a plain server of grpcio's with our interceptor; ours in the other arms are servers of the library.
    """

    sort: str
    around: str
    base: str


ARMS = {
    "bare": Arm("async", "nothing", "bare"),
    "identity+policy": Arm("async", "identity+policy", "bare"),
    "everything": Arm("async", "everything", "bare"),
    "chain, identity+policy": Arm("chain", "identity+policy", "bare"),
    "grpc-interceptor": Arm("async", "peer", "bare"),
    "bare, uvloop": Arm("uvloop", "nothing", "bare"),
    "threads, bare": Arm("threads", "nothing", "threads, bare"),
    "threads, identity+policy": Arm("threads", "identity+policy", "threads, bare"),
    "threads, everything": Arm("threads", "everything", "threads, bare"),
}
NEEDS = {"grpc-interceptor": "grpc_interceptor", "bare, uvloop": "uvloop"}


def stages_of(around: str, folder: str) -> Sequence[Any]:
    """Return the interceptor stages of one arm."""
    from roadstead.service import standard_stages
    from roadstead.service.interceptors import Authentication, Authorization

    stages = standard_stages(passwords=f"{folder}/passwords", policy=f"{folder}/policy.yaml", default_deadline=30)
    if around == "everything":
        return stages
    return [stage for stage in stages if isinstance(stage, Authentication | Authorization)]


def simplest_check() -> Any:
    """Return what the README of grpc-interceptor leads to: metadata compared with a password in the code."""
    from grpc_interceptor.exceptions import Unauthenticated
    from grpc_interceptor.server import AsyncServerInterceptor

    class Check(AsyncServerInterceptor):
        async def intercept(self, method: Any, request_or_iterator: Any, context: Any, method_name: str) -> Any:
            metadata = dict(context.invocation_metadata())
            if (metadata.get("username"), metadata.get("password")) != ("alice", "wonderland"):
                raise Unauthenticated("who are you?")
            return await method(request_or_iterator, context)

    return Check()


def serve(name: str, folder: str, port: Any) -> None:
    """Serve until killed; runs in a process of its own."""
    from roadstead.service.logs import log_as_json

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    log_as_json()
    arm = ARMS[name]
    if arm.sort == "threads":
        serve_with_threads(arm, folder, port)
    elif arm.sort == "uvloop":
        import uvloop

        uvloop.run(serve_async(arm, folder, port))
    else:
        asyncio.run(serve_async(arm, folder, port))


def add_echo(server: Any, echo: Callable[[bytes, Any], Any]) -> None:
    """Add the one service, as generated code of older grpcio does: the faster way for a bare grpc.aio server."""
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))


def serve_with_threads(arm: Arm, folder: str, port: Any) -> None:
    """Serve the echo with a pool of threads."""
    from roadstead.service import ThreadedServer

    def echo(request: bytes, context: Any) -> bytes:
        return request

    if arm.around != "nothing":
        ours = ThreadedServer(port=0, address="127.0.0.1", threads=THREADS, stages=stages_of(arm.around, folder))
        add_echo(ours, echo)
        ours.start()
        port.send(ours.port)
        ours.wait()
    server = grpc.server(ThreadPoolExecutor(THREADS))
    add_echo(server, echo)
    port.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


async def serve_async(arm: Arm, folder: str, port: Any) -> None:
    """Serve the echo on the event loop that is running."""
    from roadstead.service import Server
    from roadstead.service.interceptors import AsyncChain

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    if arm.sort == "async" and arm.around in ("identity+policy", "everything"):
        ours = Server(port=0, address="127.0.0.1", stages=stages_of(arm.around, folder))
        add_echo(ours, echo)
        await ours.start()
        port.send(ours.port)
        await ours.wait()
    chain = [AsyncChain(*stages_of(arm.around, folder))] if arm.sort == "chain" else None
    server = grpc.aio.server(interceptors=[simplest_check()] if arm.around == "peer" else chain)
    add_echo(server, echo)
    port.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process's threads have had, from the scheduler, in nanosecond resolution."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


async def turn(call: Any, seconds: float, in_flight: int) -> list[float]:
    """Keep `in_flight` calls going for some seconds; return how long each took."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def keep_calling() -> None:
        while (started := time.perf_counter()) < end:
            await call(MESSAGE, metadata=IDENTITY, timeout=20)
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(keep_calling() for _ in range(in_flight)))
    return latencies


async def measure(servers: dict[str, tuple[int, int]], rounds: int, seconds: float, in_flight: int) -> dict[str, Any]:
    """Run the turns; return per arm and round the CPU µs per call, calls per second, p50 and p99 in ms."""
    channels = {arm: grpc.aio.insecure_channel(f"127.0.0.1:{port}") for arm, (_, port) in servers.items()}
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in servers}
    for number in range(rounds + 1):
        for arm in random.sample(list(servers), len(servers)):
            pid, _ = servers[arm]
            before = cpu_seconds(pid)
            latencies = sorted(await turn(channels[arm].unary_unary(METHOD), seconds, in_flight))
            spent = cpu_seconds(pid) - before
            if number == 0:
                continue  # warms up; the first call hashes the password
            count = len(latencies)
            found[arm].append({
                "cpu_us": spent / count * 1e6,
                "rps": count / seconds,
                "p50_ms": latencies[count // 2] * 1e3,
                "p99_ms": latencies[count * 99 // 100] * 1e3,
            })  # fmt: skip
    for channel in channels.values():
        await channel.close()
    return found


def report(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return medians per arm, with ratios to the arm that it is compared with, of the same round."""
    rows: dict[str, dict[str, float]] = {}
    for arm, rounds in found.items():
        row = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        # The lower quartile: what the code costs when nobody else gets in its way.
        row["cpu_us"] = statistics.quantiles((each["cpu_us"] for each in rounds), n=4)[0]
        pairs = list(zip(rounds, found[ARMS[arm].base], strict=True))
        row["cpu_ratio"] = statistics.median(each["cpu_us"] / base["cpu_us"] for each, base in pairs)
        row["rps_ratio"] = statistics.median(each["rps"] / base["rps"] for each, base in pairs)
        rows[arm] = row
    return rows


async def lag_while(verify: Callable[[str], Awaitable[Any]], names: Iterable[str]) -> float:
    """Verify each name's password once; return the longest time in ms for which the event loop did nothing else."""
    worst, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal worst
        while not done.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before - 0.001)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for name in names:
            await asyncio.sleep(0.01)
            await verify(name)
        done.set()
    return worst * 1e3


def first_verifications(folder: str) -> dict[str, float]:
    """Return how late an event loop is while nothing happens, while passwords are verified, and if it hashed them."""
    from roadstead.service.credentials.password import PasswordVerifier
    from roadstead.service.credentials.presented import NamePassword
    from roadstead.service.passwords import parse_password_file

    records = parse_password_file(Path(folder, "passwords").read_bytes())
    users = [f"user{number}" for number in range(USERS)]

    async def rest(name: str) -> None:
        await asyncio.sleep(0.025)

    async def verify(name: str) -> None:
        result = verifier.verify(NamePassword(name, "wonderland"))
        assert isinstance(result, Future), "it was not the first time"
        await asyncio.wrap_future(result)

    async def verify_on_the_loop(name: str) -> None:
        from roadstead.service.passwords import verify_password

        assert verify_password(records.records[name].hash, "wonderland")

    verifier = PasswordVerifier(lambda: records)
    found = {
        "idle": asyncio.run(lag_while(rest, users)),
        "verifying": asyncio.run(lag_while(verify, users)),
        "on the loop": asyncio.run(lag_while(verify_on_the_loop, users)),
    }
    verifier.close()
    return found


def show(rows: dict[str, dict[str, float]], lags: dict[str, float], load: float) -> None:
    """Print the rows as a table; `load` is that of the machine before."""
    cores = os.cpu_count() or 1
    if load > 1:
        print(f"The machine was busy (load {load:.1f} on {cores} cores): these figures say little. Run it again later.")
    print(f"grpcio {grpc.__version__}, Python {sys.version.split()[0]}, one process per server, unary, 118 bytes")
    print(f"{'':26}{'calls/s':>9}{'ratio':>7}{'CPU µs/call':>13}{'ratio':>7}{'p50 ms':>8}{'p99 ms':>8}")
    for arm, row in rows.items():
        print(
            f"{arm:26}{row['rps']:9.0f}{row['rps_ratio']:7.2f}{row['cpu_us']:13.0f}{row['cpu_ratio']:7.2f}"
            f"{row['p50_ms']:8.2f}{row['p99_ms']:8.2f}"
        )
    told = ", ".join(f"{name} {lag:.1f} ms" for name, lag in lags.items())
    print(f"An event loop's longest delay, {USERS} passwords verified for the first time: {told}")


def main() -> None:
    """Start the servers, run the turns, print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one turn")
    parser.add_argument("--in-flight", type=int, default=16)
    arms = f"some of {'; '.join(ARMS)}, with semicolons between; what they are compared with is added"
    parser.add_argument("--arms", type=some_of(ARMS, ";"), default=";".join(ARMS), help=arms)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: it takes two for a median")
    if absent := [name for name in arguments.arms if name in NEEDS and find_spec(NEEDS[name]) is None]:
        parser.error(f"--arms: {'; '.join(absent)}: install the extra `bench`, or name others")
    from roadstead.service.passwords import hash_password

    load = os.getloadavg()[0]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        hashed = hash_password("wonderland")
        names = ["alice", *(f"user{number}" for number in range(USERS))]
        (Path(folder) / "passwords").write_text("".join(f"{name}:{hashed}\n" for name in names))
        (Path(folder) / "policy.yaml").write_text(POLICY)
        servers, processes = {}, []
        for arm in dict.fromkeys(each for name in arguments.arms for each in (ARMS[name].base, name)):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(arm, folder, theirs), daemon=True)
            process.start()
            processes.append(process)
            servers[arm] = (process.pid or 0, ours.recv())
        rows = report(asyncio.run(measure(servers, arguments.rounds, arguments.seconds, arguments.in_flight)))
        for process in processes:
            process.kill()
            process.join()
        lags = first_verifications(folder)
    print(json.dumps({"arms": rows, "lag_ms": lags}, indent=2)) if arguments.output == "json" else show(
        rows, lags, load
    )


if __name__ == "__main__":
    main()

"""What do identity, policy and the other interceptors cost? `python bench/service.py`, about 25 seconds.

Servers of one process each, side by side in one run: bare grpc.aio, the same with password identity and a policy,
the same with everything a service usually has. One client process keeps a fixed number of unary calls in flight
against one server at a time, in short turns of shuffled order, so that a noisy neighbour hits all of them alike. What
is compared is the server's own CPU time per call (from the kernel's scheduler), which hardly depends on how busy the
machine is, and the calls per second, which do. Ratios are medians of the turns, bare server = 1.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

MESSAGE = b"x" * 118
METHOD = "/bench.Echo/Echo"
IDENTITY = (("username", "alice"), ("password", "wonderland"))
POLICY = "{roles: {caller: [bench.Echo/Echo]}, identities: {alice: [caller]}}"
ARMS = ("bare", "identity+policy", "everything")


def stages_of(arm: str, folder: str) -> Sequence[Any]:
    """Return the interceptor stages of one arm."""
    from roadstead.service import standard_stages
    from roadstead.service.interceptors import Authentication, Authorization

    if arm == "bare":
        return ()
    stages = standard_stages(passwords=f"{folder}/passwords", policy=f"{folder}/policy.yaml", default_deadline=30)
    if arm == "everything":
        return stages
    return [stage for stage in stages if isinstance(stage, Authentication | Authorization)]


def serve(arm: str, folder: str, port: Any) -> None:
    """Serve until killed; runs in a process of its own."""
    from roadstead.service.interceptors import AsyncChain
    from roadstead.service.logs import log_as_json

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    log_as_json()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def run() -> None:
        stages = stages_of(arm, folder)
        server = grpc.aio.server(interceptors=[AsyncChain(*stages)] if stages else None)
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
        port.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await server.wait_for_termination()

    asyncio.run(run())


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
        for arm in random.sample(ARMS, len(ARMS)):
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
    """Return medians per arm, with ratios to the bare server of the same round."""
    rows: dict[str, dict[str, float]] = {}
    for arm, rounds in found.items():
        # The lower quartile: what the code costs when nobody else gets in its way.
        row = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        row["cpu_us"] = statistics.quantiles((each["cpu_us"] for each in rounds), n=4)[0]
        pairs = list(zip(rounds, found["bare"], strict=True))
        row["cpu_ratio"] = statistics.median(each["cpu_us"] / bare["cpu_us"] for each, bare in pairs)
        row["rps_ratio"] = statistics.median(each["rps"] / bare["rps"] for each, bare in pairs)
        rows[arm] = row
    return rows


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print the rows as a table."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 1:
        print(f"The machine is busy (load {load:.1f} on {cores} cores): these figures say little. Run it again later.")
    print(f"grpcio {grpc.__version__}, Python {sys.version.split()[0]}, one process per server, unary, 118 bytes")
    print(f"{'':18}{'calls/s':>9}{'ratio':>7}{'CPU µs/call':>13}{'ratio':>7}{'p50 ms':>8}{'p99 ms':>8}")
    for arm, row in rows.items():
        print(
            f"{arm:18}{row['rps']:9.0f}{row['rps_ratio']:7.2f}{row['cpu_us']:13.0f}{row['cpu_ratio']:7.2f}"
            f"{row['p50_ms']:8.2f}{row['p99_ms']:8.2f}"
        )


def main() -> None:
    """Start the servers, run the turns, print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.7, help="length of one turn")
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    from roadstead.service.passwords import hash_password

    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "passwords").write_text(f"alice:{hash_password('wonderland')}\n")
        (Path(folder) / "policy.yaml").write_text(POLICY)
        servers, processes = {}, []
        for arm in ARMS:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(arm, folder, theirs), daemon=True)
            process.start()
            processes.append(process)
            servers[arm] = (process.pid or 0, ours.recv())
        rows = report(asyncio.run(measure(servers, arguments.rounds, arguments.seconds, arguments.in_flight)))
        for process in processes:
            process.kill()
            process.join()
    print(json.dumps(rows, indent=2)) if arguments.output == "json" else show(rows)


if __name__ == "__main__":
    main()

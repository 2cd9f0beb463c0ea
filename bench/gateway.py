"""What the gateway costs: calls through it, Envoy by hand, nginx, Traefik and Envoy Gateway, side by side in one run.

    python bench/gateway.py [--seconds 2] [--rounds 5] [--work unary,unary-tls,streaming,streaming-tls] [--routes 1]

Same backends, same load, in turns, in an order that changes; every proxy has one worker on the last processor, load and
backends have the others. Each proxy's log goes to /dev/null. A ratio above 1 is better than what it is compared with,
and is the median over the rounds; of the calls per second the quartiles are printed before it. Processor time for each
call is what other work on the machine disturbs least (its 25th percentile over the turns).

What each proxy does for a call is said in `gateway_arms`. The Envoy by hand is not held back: it does less than ours
does, and with a log it writes the same line. All have a certificate with a P-256 key; what version, cipher and curve
each agrees on with the load is printed.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
import trustme
from choices import some_of
from envoy_gateway import envoy_gateway
from gateway_arms import ARMS as _ARMS
from gateway_arms import Arm, Backends, Missing, Setting, leave_a_processor
from gateway_load import AUTHORITY, MESSAGES, WORK, Work, drive, driver, negotiated, start_backend
from http2_load import Result, message

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from free_ports import free_port

ARMS = {**_ARMS, "Envoy Gateway": envoy_gateway}
Turn = tuple[Result, float]
Turns = dict[str, list[Turn]]
_COMPARED = (
    ("roadstead, no log", "Envoy by hand"),
    ("roadstead", "Envoy by hand, log"),
    ("roadstead, no log", "Envoy by hand, edge"),
    ("roadstead", "Envoy by hand"),
    ("roadstead, no log", "Envoy Gateway"),
    ("roadstead", "nginx"),
    ("roadstead", "Traefik"),
)


def main() -> None:
    """Run the rounds and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="for each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--routes", type=int, default=1, help="hosts in our configuration, the called one last")
    parser.add_argument("--work", type=some_of(WORK, ","), default=",".join(WORK), help=f"some of {', '.join(WORK)}")
    arms = f"some of {'; '.join(ARMS)}, with semicolons between"
    parser.add_argument("--arms", type=some_of(ARMS, ";"), default=";".join(ARMS), help=arms)
    asyncio.run(_compare(parser.parse_args()))


async def _compare(options: argparse.Namespace) -> None:
    leave_a_processor()
    backends = Backends(free_port(), free_port())
    processes = [start_backend(backends.unary, 1), start_backend(backends.stream, MESSAGES)]
    arms: dict[str, Arm] = {}
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as directory:
        try:
            await _start(arms, Path(directory), backends, options)
            print(
                f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}, "
                f"load by {driver()}, {time.strftime('%Y-%m-%d')}"
            )
            for name, arm in arms.items():
                print(f"{name:20} TLS: {negotiated(arm.ports.tls)}")
            for name in options.work:
                _print(WORK[name], await _take_turns(arms, WORK[name], options))
        finally:
            for arm in arms.values():
                await arm.end()
            for process in processes:
                process.kill()
                process.join()


async def _start(arms: dict[str, Arm], directory: Path, backends: Backends, options: argparse.Namespace) -> None:
    """Start the proxies, and make sure of each with real calls that the way is open."""
    authority = trustme.CA()
    for number, (name, start) in enumerate(ARMS.items()):
        if name not in options.arms:
            continue
        folder = directory / str(number)
        folder.mkdir()
        try:
            arms[name] = await start(Setting(folder, backends, authority, options.routes))
        except Missing as missing:
            print(f"{name}: left out, not installed: {missing}")
            continue
        for work in WORK.values():
            await _one_real_call(arms[name], work, authority)


async def _one_real_call(arm: Arm, work: Work, authority: trustme.CA) -> None:
    options = [("grpc.default_authority", AUTHORITY), ("grpc.ssl_target_name_override", AUTHORITY)]
    target = f"127.0.0.1:{arm.ports.tls if work.tls else arm.ports.plain}"
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    channel = (
        grpc.aio.secure_channel(target, credentials, options)
        if work.tls
        else grpc.aio.insecure_channel(target, options[:1])
    )
    async with channel:
        call = channel.unary_stream(work.path)(b"", timeout=20, wait_for_ready=True)
        answers = [each async for each in call]
    assert answers == [message(1)[5:]] * work.messages


async def _take_turns(arms: dict[str, Arm], work: Work, options: argparse.Namespace) -> Turns:
    """Let every arm run in each round, in an order that changes, so that drift hits all alike."""
    turns: Turns = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name in random.sample(list(arms), len(arms)):
            turns[name].append(await asyncio.to_thread(_run, arms[name], work, options.seconds))
    return turns


def _run(arm: Arm, work: Work, seconds: int) -> tuple[Result, float]:
    """Return what the load saw, and the processor seconds that the proxy spent meanwhile."""
    before = _processor_time(arm.pid)
    result = drive(arm.ports.tls if work.tls else arm.ports.plain, work, seconds)
    return result, _processor_time(arm.pid) - before


def _processor_time(pid: int) -> float:
    """Return the processor seconds of all threads of a process, to the nanosecond as far as they still run."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def _print(work: Work, turns: Turns) -> None:
    rows = {name: _figures(results) for name, results in turns.items()}
    each = "stream" if work.messages > 1 else "call"
    print(f"\n{work.name}{f', {work.messages} messages a stream' if work.messages > 1 else ''}")
    print(
        f"{'':20} {each + 's/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'CPU µs/' + each:>14} {'failed':>7}"
    )
    for name, (rps, p50, p99, p999, processor, failed) in rows.items():
        print(f"{name:20} {rps:10.0f} {p50:8.2f} {p99:8.2f} {p999:9.2f} {processor:14.1f} {failed:7.0f}")
    for ours, theirs in _COMPARED:
        if ours in turns and theirs in turns:
            print(f"{ours} ÷ {theirs}\n{_compared(turns[ours], turns[theirs])}")


def _compared(ours: Sequence[Turn], theirs: Sequence[Turn]) -> str:
    """Return the medians of the ratios of turns of the same round; of calls per second the quartiles, too.

    What disturbs the machine lasts longer than a round, as a rule, and so hits both.
    """
    pairs = [(_of_turn(mine), _of_turn(other)) for mine, other in zip(ours, theirs, strict=True)]
    calls = [mine[0] / other[0] for mine, other in pairs]
    low, middle, high = statistics.quantiles(calls, n=4) if len(calls) > 1 else calls * 3
    others = [statistics.median(other[place] / mine[place] for mine, other in pairs) for place in range(1, 5)]
    shown = " ".join(f"{ratio:{width}.2f}×" for ratio, width in zip(others, (7, 7, 8, 13), strict=True))
    return f"{f'({low:.2f} to {high:.2f})':>21} {middle:8.2f}× {shown}"


def _figures(turns: Sequence[Turn]) -> tuple[float, ...]:
    """Return the medians over the turns; of the processor time the 25th percentile; of failed calls the sum."""
    rps, p50, p99, p999, processor = zip(*map(_of_turn, turns), strict=True)
    medians = (statistics.median(column) for column in (rps, p50, p99, p999))
    return (*medians, sorted(processor)[len(processor) // 4], sum(run.resets for run, _ in turns))


def _of_turn(turn: Turn) -> tuple[float, float, float, float, float]:
    """Return calls per second, three percentiles in milliseconds and processor microseconds per call."""
    run, spent = turn
    p50, p99, p999 = (run.percentile(share) for share in (0.5, 0.99, 0.999))
    return run.rps, p50, p99, p999, spent / max(len(run.latencies), 1) * 1e6


if __name__ == "__main__":
    main()

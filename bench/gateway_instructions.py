"""How many instructions an Envoy needs for a call: what no other work on the machine disturbs.

    python bench/gateway_instructions.py [--calls 100] [--work unary,unary-tls] [--arms "roadstead;Envoy by hand"]

Each Envoy runs under callgrind (Debian: valgrind). Calls come one after the other, from h2load (nghttp2-client), so
that no chance puts several of them together. Counted is the busiest thread, the one that serves, without the kernel's
part. The difference between many calls and few is what a call costs, without what a connection costs.
"""

import argparse
import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trustme
from choices import some_of
from gateway_arms import (
    START,
    Arm,
    Backends,
    Missing,
    Setting,
    free_ports,
    roadstead,
    roadstead_without_log,
    static,
    static_at_the_edge,
    static_with_log,
    static_with_usual_log,
)
from gateway_load import AUTHORITY, MESSAGES, WORK, Work, start_backend
from http2_load import message

ARMS: dict[str, Callable[[Setting], Awaitable[Arm]]] = {
    "roadstead, no log": roadstead_without_log,
    "roadstead": roadstead,
    "Envoy by hand": static,
    "Envoy by hand, log": static_with_log,
    "Envoy by hand, usual log": static_with_usual_log,
    "Envoy by hand, edge": static_at_the_edge,
}
FEW = 20
REPEATED = 3


def main() -> None:
    """Count and print, each Envoy by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="between the two counts")
    parser.add_argument("--routes", type=int, default=1, help="hosts in our configuration, the called one last")
    parser.add_argument("--work", type=some_of(WORK, ","), default="unary", help=f"some of {', '.join(WORK)}")
    arms = f"some of {'; '.join(ARMS)}, with semicolons between"
    parser.add_argument("--arms", type=some_of(ARMS, ";"), default=";".join(ARMS), help=arms)
    asyncio.run(_count_all(parser.parse_args()))


async def _count_all(options: argparse.Namespace) -> None:
    for program, package in (("valgrind", "valgrind"), ("h2load", "nghttp2-client")):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: apt-get install {package}")
    ports = free_ports()
    backends = Backends(*ports)
    processes = [start_backend(backends.unary, 1), start_backend(backends.stream, MESSAGES)]
    works = [WORK[name] for name in options.work]
    print(f"{'instructions a call':26}" + "".join(f"{work.name:>15}" for work in works))
    try:
        for name in options.arms:
            counts = await _count(ARMS[name], backends, works, options)
            print(f"{name:26}" + "".join(f"{count:15,.0f}" for count in counts), flush=True)
    finally:
        for process in processes:
            process.kill()
            process.join()


async def _count(
    start: Callable[[Setting], Awaitable[Arm]], backends: Backends, works: list[Work], options: argparse.Namespace
) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as directory:
        folder = Path(directory)
        watched = ("valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/counted")
        setting = Setting(folder, backends, trustme.CA(), options.routes, (*watched, "--quiet"))
        try:
            arm = await start(setting)
        except Missing as missing:
            raise SystemExit(f"not installed: {missing}") from None
        try:
            await _listening(arm)
            return [await asyncio.to_thread(_of_a_call, arm, folder, work, options.calls) for work in works]
        finally:
            await arm.end()


async def _listening(arm: Arm) -> None:
    """Wait until the Envoy listens: under callgrind it needs half a minute to start."""
    async with asyncio.timeout(START):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", arm.ports.tls)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


def _of_a_call(arm: Arm, folder: Path, work: Work, calls: int) -> float:
    _call(arm, work, FEW)
    few, many = (min(_counted(arm, folder, work, number) for _ in range(REPEATED)) for number in (FEW, FEW + calls))
    return (many - few) / calls


def _counted(arm: Arm, folder: Path, work: Work, calls: int) -> int:
    """Return the instructions of the busiest thread while so many calls are made on one connection."""
    for old in folder.glob("counted*"):
        old.unlink()
    _control("--zero", arm.pid)
    _call(arm, work, calls)
    _control("--dump", arm.pid)
    return max(_total(path) for path in folder.glob("counted*"))


def _control(what: str, pid: int) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def _total(path: Path) -> int:
    lines = path.read_text(errors="replace").splitlines()
    return max((int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:"))), default=0)


def _call(arm: Arm, work: Work, calls: int) -> None:
    with tempfile.NamedTemporaryFile() as body:
        body.write(message(1))
        body.flush()
        command = [
            "h2load", "--requests", str(calls), "--clients", "1", "--max-concurrent-streams", "1", "--data", body.name,
            "--connect-to", f"127.0.0.1:{arm.ports.tls if work.tls else arm.ports.plain}",
            "--header", "content-type: application/grpc", "--header", "te: trailers",
            f"{'https' if work.tls else 'http'}://{AUTHORITY}{work.path}",
        ]  # fmt: skip
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f" {calls} succeeded," in said, said


if __name__ == "__main__":
    main()

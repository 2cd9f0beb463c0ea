"""The one request of a probe: gRPC health, HTTP, TCP or a command. Its answer: None, or why it failed.

`dial` connects from the node into the pod's network, `execute` runs a command in the container; both come from the
runtime, so the same checks serve both kinds of isolation.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from roadstead.api.objects import ReadOnlyObject
from roadstead.node.grpc_health import Exchange, Health, request
from roadstead.node.probes import Probe, resolve_port

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial: TypeAlias = Callable[[str, int], Awaitable[Streams]]
Execute: TypeAlias = Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]]

_MAX_ANSWER = 10 * 1024


async def check(probe: Probe, container: ReadOnlyObject, address: str, dial: Dial, execute: Execute) -> str | None:
    """Probe once within the probe's timeout and return why it failed, or None."""
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.kind == "exec":
                return await _execute(probe, execute)
            return await _request(probe, container, address, dial)
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        return str(error) or type(error).__name__


async def _execute(probe: Probe, execute: Execute) -> str | None:
    code, output = await execute(probe.handler.get("command") or [])
    return None if code == 0 else f"exit code {code}: {output.decode(errors='replace').strip()}"


async def _request(probe: Probe, container: ReadOnlyObject, address: str, dial: Dial) -> str | None:
    port = resolve_port(probe.handler.get("port"), container)
    if port is None:
        return f"port {probe.handler.get('port')!r} is not the name of a port of this container"
    host = probe.handler.get("host") or address
    reader, writer = await dial(host, port)
    try:
        if probe.kind == "httpGet":
            return await _http(probe, f"{host}:{port}", reader, writer)
        if probe.kind == "grpc":
            return await _grpc(probe.handler.get("service") or "", f"{host}:{port}", reader, writer)
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _grpc(service: str, authority: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
    exchange = Exchange()
    writer.write(request(service, authority))
    while not exchange.done:
        writer.write(exchange.feed(await reader.read(65536)))
    if exchange.health is Health.SERVING:
        return None
    return exchange.problem or f"service {service!r} is {exchange.health.name if exchange.health else 'UNKNOWN'}"


async def _http(probe: Probe, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
    if str(probe.handler.get("scheme") or "HTTP").upper() == "HTTPS":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as the kubelet: a probe asks for life
        await writer.start_tls(context)
    writer.write(_http_request(probe, host))
    status = await reader.readline()
    words = status.split(b" ", 2)
    if not words[0].startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
        return f"the answer is not HTTP: {status[:80]!r}"
    code = int(words[1])
    return None if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


def _http_request(probe: Probe, host: str) -> bytes:
    path = probe.handler.get("path") or "/"
    headers = {"Host": host, "User-Agent": "kube-probe/1.37", "Accept": "*/*", "Connection": "close"}
    for entry in probe.handler.get("httpHeaders") or ():
        headers[str(entry.get("name"))] = str(entry.get("value"))
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()

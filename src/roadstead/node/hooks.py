"""Lifecycle hooks: what a manifest wants done right after a container's start or right before its end."""

import asyncio

from roadstead.api.objects import ReadOnlyObject
from roadstead.node.probe_checks import Dial, Execute, check
from roadstead.node.probes import Probe, Purpose

_FOREVER = 86400.0  # the caller's grace period is the limit


async def run_hook(hook: ReadOnlyObject, container: ReadOnlyObject, address: str, dial: Dial, execute: Execute) -> None:
    """Carry out `exec`, `httpGet`, `tcpSocket` or `sleep`. Raises OSError that says how it failed."""
    if (pause := hook.get("sleep")) is not None:
        await asyncio.sleep(float(pause.get("seconds") or 0))
        return
    for kind in ("exec", "httpGet", "tcpSocket"):
        if hook.get(kind) is not None:
            request = Probe(Purpose.LIVENESS, kind, hook[kind], timeout=_FOREVER)
            problem = await check(request, container, address, dial, execute)
            if problem is not None:
                raise OSError(problem)

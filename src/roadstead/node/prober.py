"""Runs the probes of one container while its process runs, and notes in its record what they say.

`probes` says when and what it means, `probe_checks` asks. Next: `pod_worker`, which restarts what is unhealthy.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from roadstead.node.probes import Probe, Purpose, Tally, Verdict
from roadstead.node.records import ContainerRecord

_SETTLING = 0.5
"""A program that was started this moment cannot answer yet: its first failure counts, but is no news to anybody."""

Ask = Callable[[Probe], Awaitable[str | None]]
"""Probes once: None, or why it failed."""


class Prober:
    """The probes of one run of a container. `changed` is called when the record changed, `unhealthy` with the message
    of every failure that counts.
    """

    def __init__(
        self,
        record: ContainerRecord,
        probes: Sequence[Probe],
        ask: Ask,
        changed: Callable[[], None],
        unhealthy: Callable[[str], None],
    ) -> None:
        self._record, self._ask = record, ask
        self._probes = {probe.purpose: probe for probe in probes}
        self._changed, self._unhealthy = changed, unhealthy

    async def run(self) -> None:
        """Probe until cancelled: first whether the container has started, then the rest."""
        startup = self._probes.get(Purpose.STARTUP)
        if startup is not None and not await self._has_started(startup):
            return
        self._record.started = True
        rest = [probe for purpose, probe in self._probes.items() if purpose is not Purpose.STARTUP]
        self._record.ready = Purpose.READINESS not in self._probes
        self._changed()
        await asyncio.gather(*(self._follow(probe) for probe in rest))

    async def _has_started(self, probe: Probe) -> bool:
        tally = Tally(probe, time.time())
        while tally.verdict is Verdict.UNKNOWN:
            await self._once(tally)
        if tally.verdict is Verdict.FAILED:
            self._restart(probe)
        return tally.verdict is Verdict.PASSED

    async def _follow(self, probe: Probe) -> None:
        tally = Tally(probe, time.time())
        while True:
            await self._once(tally)
            if probe.purpose is Purpose.READINESS:
                self._set_ready(tally.verdict is Verdict.PASSED)
            elif tally.verdict is Verdict.FAILED:
                self._restart(probe)
                return

    async def _once(self, tally: Tally) -> None:
        await asyncio.sleep(max(tally.due() - time.time(), 0))
        asked = time.time()
        problem = await self._ask(tally.probe)
        counts = tally.note(problem is None, asked)
        if counts and problem is not None and asked - tally.since >= _SETTLING:
            self._unhealthy(f"{tally.probe.purpose.title} probe failed: {problem}")

    def _set_ready(self, ready: bool) -> None:
        if self._record.ready is not ready:
            self._record.ready = ready
            self._changed()

    def _restart(self, probe: Probe) -> None:
        self._record.grace = probe.grace
        self._record.unhealthy = (
            f"Container {self._record.name} failed {probe.purpose.title.lower()} probe, will be restarted"
        )
        self._changed()

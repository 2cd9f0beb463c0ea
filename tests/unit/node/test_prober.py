"""A container's probes over time: what its record says, with a clock that goes as fast as the prober sleeps."""

import asyncio
import contextlib

import pytest

from roadstead.node import prober as module
from roadstead.node.prober import Prober
from roadstead.node.probes import Probe, Purpose
from roadstead.node.records import ContainerRecord, Role


class Scene:
    """A prober in virtual time; `healthy` says from when until when which probe succeeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *probes: Probe, healthy=(0.0, 1e9)) -> None:
        self.now, self.healthy = 0.0, healthy
        self.record = ContainerRecord("main", Role.MAIN)
        self.record.run(1, 0, probed=True)
        self.story: list[tuple[float, str]] = []
        self.prober = Prober(self.record, probes, self.ask, self.changed, self.say)
        monkeypatch.setattr(module.time, "time", lambda: self.now)
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 100:
            raise TimeoutError

    async def ask(self, probe: Probe) -> str | None:
        begin, end = self.healthy
        return None if begin <= self.now < end else "refused"

    def changed(self) -> None:
        record = self.record
        self.say(record.unhealthy or ("ready" if record.ready else "started" if record.started else "waiting"))

    def say(self, word: str) -> None:
        self.story.append((round(self.now, 1), word))

    def play(self) -> list[tuple[float, str]]:
        with contextlib.suppress(TimeoutError):
            asyncio.run(self.prober.run())
        return self.story


def probe(purpose: Purpose, **fields) -> Probe:
    return Probe(purpose, "grpc", {}, **fields)


def test_readiness_follows_its_probe(monkeypatch):
    scene = Scene(monkeypatch, probe(Purpose.READINESS, failures=2), healthy=(0.4, 35.0))
    story = scene.play()
    assert story[0] == (0, "started")
    assert story[1][1] == "ready" and 0.4 <= story[1][0] < 1
    failure = "Readiness probe failed: refused"
    assert story[2:5] == [(40, failure), (50, failure), (50, "started")]


def test_liveness_asks_for_a_restart_after_enough_failures(monkeypatch):
    scene = Scene(monkeypatch, probe(Purpose.LIVENESS, period=5, grace=1.0), healthy=(0.0, 9.0))
    story = scene.play()
    assert story[0] == (0, "ready")
    failure = "Liveness probe failed: refused"
    restart = "Container main failed liveness probe, will be restarted"
    assert story[1:] == [(10, failure), (15, failure), (20, failure), (20, restart)]
    assert scene.record.grace == 1.0


def test_startup_holds_the_others_back(monkeypatch):
    startup = probe(Purpose.STARTUP, period=10, failures=5)
    story = Scene(monkeypatch, startup, probe(Purpose.READINESS), healthy=(12.0, 1e9)).play()
    told = [entry for entry in story if not entry[1].startswith("Startup probe failed")]
    assert told[0][1] == "started" and 12 <= told[0][0] <= 20
    assert told[1] == (told[0][0], "ready")


def test_a_container_that_never_starts_is_restarted(monkeypatch):
    story = Scene(monkeypatch, probe(Purpose.STARTUP, period=10), healthy=(50.0, 1e9)).play()
    assert story[-1] == (20, "Container main failed startup probe, will be restarted")


def test_a_failure_right_after_the_start_is_no_news(monkeypatch):
    story = Scene(monkeypatch, probe(Purpose.READINESS), healthy=(0.1, 1e9)).play()
    assert [word for _, word in story] == ["started", "ready"]

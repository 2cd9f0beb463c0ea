"""Healing: a server process is killed while the client Deployment keeps calling."""

import json
import os
import signal
from pathlib import Path

from report import Check, Unexpected, expect
from system import System, eventually

VICTIM = "app=bar-svc"
CALLER = "role=frontend"


def process_of(pod: str) -> int:
    """Return the id of the server process of a pod, found by the pod's name in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"POD_NAME={pod}".encode() in environment and b"server" in command:
            return int(folder.name)
    raise Unexpected(f"no process of pod {pod} is visible")


def restarts(system: System, pod: str) -> tuple[int, bool]:
    """Return how often the pod's container was started again, and whether it is ready."""
    [container] = system.get("pod", pod)["status"]["containerStatuses"]
    return container["restartCount"], container["ready"]


def counts(system: System) -> dict[str, int]:
    """Return the running client's own counts: its last report."""
    reports = [line for line in system.kube("logs", system.pod(CALLER), "--tail=20").splitlines() if "calls" in line]
    if not reports:
        raise Unexpected("the client has not reported yet")
    return dict(json.loads(reports[-1]))


def kill_loses_nothing(system: System) -> str:
    before = eventually(lambda: counts(system), lambda seen: seen["calls"] > 0)
    pod = system.pod(VICTIM)
    restarted = restarts(system, pod)[0]
    os.kill(process_of(pod), signal.SIGKILL)
    eventually(lambda: restarts(system, pod), lambda seen: seen[0] > restarted and seen[1])
    ready_at = counts(system)["calls"]
    after = eventually(lambda: counts(system), lambda seen: seen["calls"] > ready_at + 10)
    made, lost = after["calls"] - before["calls"], after["failures"] - before["failures"]
    return expect(lost == 0, f"{pod} is ready again; {made} calls meanwhile, {lost} lost")


CHECKS = [Check("kill -9 of a bar-svc process under load", "ready again, no RPC lost", kill_loses_nothing)]

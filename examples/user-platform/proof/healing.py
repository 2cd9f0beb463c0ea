"""Healing: a server process is killed while clients keep calling, one in the cluster and one outside."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from report import Check, Unexpected, expect
from system import BAR, FOO, ROOT, System, eventually

VICTIM = "app.kubernetes.io/name=bar-svc"
CALLER = "role=frontend"
COUNTS = re.compile(r"calls=(\d+) failed=(\d+)")


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


def counted(lines: Iterable[str]) -> tuple[int, int]:
    """Add up the calls and failures in the lines that the client prints each second."""
    found = [match for line in lines if (match := COUNTS.match(line))]
    return sum(int(match[1]) for match in found), sum(int(match[2]) for match in found)


def outside_client(system: System) -> subprocess.Popen[str]:
    """Start the platform's own client in the host's network: through TLS at the Gateway."""
    foo, bar = (":".join(map(str, system.entry(host))) for host in (FOO, BAR))
    return subprocess.Popen(
        [
            sys.executable, "-m", "client", "--rate=40", f"--ca-file={system.authority_file}",
            f"--login={foo}", f"--login-host={FOO}", f"--users={bar}", f"--users-host={BAR}",
            "--username=frontend", "--password=harbour-light",
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_loses_nothing(system: System) -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    outside = outside_client(system)
    try:
        assert outside.stdout is not None
        printed = [outside.stdout.readline()]  # it has called for a second
        pod = system.pod(VICTIM)
        before = restarts(system, pod)[0]
        os.kill(process_of(pod), signal.SIGKILL)
        eventually(lambda: restarts(system, pod), lambda seen: seen[0] > before and seen[1])
    finally:
        outside.terminate()
        printed += outside.communicate()[0].splitlines()
    calls, lost = counted(printed)
    inside_calls, inside_lost = counted(system.kube("logs", system.pod(CALLER), f"--since-time={since}").splitlines())
    seen = (
        f"{pod} is ready again; through the Gateway {calls} calls, {lost} lost; "
        f"in the cluster {inside_calls} calls, {inside_lost} lost"
    )
    complaints = [line for line in printed if line.startswith("failed")]
    return expect(lost == inside_lost == 0 and calls > 0 and inside_calls > 0, "; ".join([seen, *complaints[:3]]))


CHECKS = [Check("kill -9 of a bar-svc process while clients call", "ready again, not one RPC lost", kill_loses_nothing)]

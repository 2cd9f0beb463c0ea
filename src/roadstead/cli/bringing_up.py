"""What `up` does once the supervisor is on its way: applies manifests, shows what becomes of them, and follows."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from roadstead.api.objects import key_of
from roadstead.cli.cert import make_certificates
from roadstead.cli.projects import manifest_paths
from roadstead.cli.screen import Screen, entry_rows, standing_line
from roadstead.cli.terminal import InputError, err, print_json, warn
from roadstead.client import ApiClient
from roadstead.client.applying import Applied, apply_manifests
from roadstead.client.manifests import Document, read_manifests
from roadstead.cluster.inventory import Inventory
from roadstead.cluster.layout import Layout
from roadstead.cluster.reach import entries
from roadstead.cluster.standing import Standing
from roadstead.node.project import Project

FIELD_MANAGER = "roadstead-up"


def prepare(paths: Sequence[Path], project: Project) -> list[Document]:
    """Make the project's certificates and read its manifests. What is wrong with all of them ends the command."""
    _make_certificates(project)
    return _read(manifest_paths(paths, project))


def bring_up(
    layout: Layout, documents: Sequence[Document], timeout: float, output: str, begun: float
) -> list[Standing]:
    """Apply manifests to a cluster that runs and show what becomes of them, for at most `timeout` seconds."""
    return asyncio.run(_bring_up(layout, documents, timeout, output, begun))


def follow(layout: Layout) -> None:
    """Say what changes and what warnings come, until interrupted."""
    # Ctrl-C is how this ends in order; only before this does it mean that something was broken off.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(layout))


def _make_certificates(project: Project) -> None:
    for outcome in make_certificates(project):
        if outcome.reason:
            err.print(f"Made certificate {outcome.certificate.name} ({outcome.reason}).")


def _read(paths: Sequence[Path]) -> list[Document]:
    """Read all manifests; what cannot be read is reported, the rest counts. kind's own files are not manifests."""
    manifests = read_manifests(paths)
    for problem in manifests.problems:
        warn(str(problem))
    documents = [entry for entry in manifests.documents if "kind.x-k8s.io/" not in entry.object["apiVersion"]]
    if not documents:
        raise InputError(f"there is no Kubernetes manifest in {', '.join(map(str, paths))}")
    return documents


async def _bring_up(
    layout: Layout, documents: Sequence[Document], timeout: float, output: str, begun: float
) -> list[Standing]:
    async with ApiClient.from_kubeconfig(layout.kubeconfig, user_agent=FIELD_MANAGER) as client:
        failed = await _apply(client, documents)
        async with Inventory(client) as inventory:
            with Screen(err) as screen:
                standings = await inventory.settle(screen.show, timeout)
            standings = [*failed, *standings]
            _conclude(layout, inventory, standings, output, time.monotonic() - begun)
            return standings


async def _apply(client: ApiClient, documents: Sequence[Document]) -> list[Standing]:
    failed, count = [], 0
    async for applied in apply_manifests(client, documents, field_manager=FIELD_MANAGER):
        count += 1
        if applied.error is not None:
            failed.append(_refused(applied))
            err.print(standing_line(failed[-1]))
    err.print(f"Applied {count - len(failed)} of {count} objects.")
    return failed


def _refused(applied: Applied) -> Standing:
    obj = applied.document.object
    return Standing(obj["kind"], key_of(obj), "failed", "; ".join(applied.messages()))


def _conclude(layout: Layout, inventory: Inventory, standings: Sequence[Standing], output: str, seconds: float) -> None:
    found = entries(inventory.objects)
    behind = [standing for standing in standings if standing.state != "ready"]
    for standing in behind:
        err.print(standing_line(standing))
    word = "everything is ready" if not behind else f"{len(behind)} of {len(standings)} are not ready"
    err.print(f"\n[bold]Up after {seconds:.1f} s: {word}.[/]")
    if output == "json":
        print_json(
            {
                "kubeconfig": str(layout.kubeconfig),
                "seconds": round(seconds, 3),
                "objects": [standing._asdict() for standing in standings],
                "entries": [{**entry._asdict(), "url": entry.url} for entry in found],
            }
        )
        return
    for row in entry_rows(found):
        err.print(row)
    err.print(f"\nkubectl: export KUBECONFIG={layout.kubeconfig}")


async def _follow(layout: Layout) -> None:
    err.print("Following; Ctrl-C stops the system.\n")
    async with (
        ApiClient.from_kubeconfig(layout.kubeconfig, user_agent=FIELD_MANAGER) as client,
        Inventory(client) as inventory,
    ):
        with Screen(err) as screen:
            screen.note(inventory.standings(), inventory.objects["Event"])
            while True:
                await inventory.change()
                screen.follow(inventory.standings(), inventory.objects["Event"])

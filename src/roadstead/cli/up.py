"""`roadstead up`: starts a cluster, applies manifests, shows what becomes of them, and follows until Ctrl-C."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import click

from roadstead.api.objects import key_of
from roadstead.cli.cert import make_certificates, project_at
from roadstead.cli.clusters import configuration_from, start, wait_showing_progress
from roadstead.cli.screen import Screen, entry_rows, standing_line
from roadstead.cli.terminal import InputError, err, name_option, output_option, print_json, warn
from roadstead.client import ApiClient
from roadstead.client.applying import Applied, apply_manifests
from roadstead.client.manifests import Document, read_manifests
from roadstead.cluster.configuration import Isolation
from roadstead.cluster.inventory import Inventory
from roadstead.cluster.layout import Layout
from roadstead.cluster.reach import entries
from roadstead.cluster.readiness import Standing
from roadstead.node.project import Project

FIELD_MANAGER = "roadstead-up"


@click.command("up")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@name_option
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A kind configuration.")
@click.option("--detach", "-d", is_flag=True, help="Return when all is up and leave it running; `down` ends it.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for everything to be ready.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "namespaces", "none"]),
    default="auto",
    help="How pods are kept apart; auto: namespaces where the machine has them.",
)
@output_option
def command(
    paths: tuple[Path, ...],
    name: str | None,
    config: Path | None,
    detach: bool,
    timeout: float,
    isolation: Isolation,
    output: str,
) -> None:
    """Run a system from its Kubernetes manifests: every YAML and JSON file in PATHS, folders with all below them.

    A roadstead.toml beside or above the first path says what the images run, which certificates to make, and which
    machines live outside the cluster. What is wrong with one object is said, and everything else comes up.

    Without --detach the system lives until Ctrl-C, and nothing of it remains (but what a cluster of this name had
    before). Exit code 1 means that something did not come up.

    \b
    roadstead up examples/user-platform
    roadstead up kubernetes/setup kubernetes/server.yaml --detach
    """  # fmt: skip
    begun = time.monotonic()
    project = project_at(paths[0])
    starting = start(configuration_from(config, name, isolation, project.file), attached=not detach)
    running = starting.running
    try:
        # While the cluster starts: what it will need.
        _make_certificates(project)
        documents = _read(manifest_paths(paths, project))
        wait_showing_progress(starting)
    except BaseException:
        running.end()
        raise
    try:
        standings = asyncio.run(_bring_up(running.layout, documents, timeout, output, begun))
        if not detach:
            # Ctrl-C is how this ends in order; only before that point does it mean that something was broken off.
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(_follow(running.layout))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if not detach:
            err.print("Stopping ...")
            running.end()
    if any(standing.state != "ready" for standing in standings):
        raise SystemExit(1)


def _make_certificates(project: Project) -> None:
    for outcome in make_certificates(project):
        if outcome.reason:
            err.print(f"Made certificate {outcome.certificate.name} ({outcome.reason}).")


def manifest_paths(paths: Sequence[Path], project: Project) -> list[Path]:
    """Return what to read: a project's own folder stands for the manifests that its roadstead.toml lists."""
    folder = project.file.parent if project.file is not None else None
    return [
        below for path in paths for below in (project.manifests if path.resolve() == folder else ()) or (path,)
    ]  # fmt: skip


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
    """Say what changes and what warnings come, until interrupted."""
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

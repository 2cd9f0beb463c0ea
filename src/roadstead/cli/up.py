"""`roadstead up`: starts a cluster, applies manifests, shows what becomes of them, and follows until Ctrl-C."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import click

from roadstead.cli.cert import make_certificates, project_at
from roadstead.cli.clusters import configuration_from, start_showing_progress
from roadstead.cli.screen import Screen, entry_rows, standing_line
from roadstead.cli.terminal import InputError, err, name_option, output_option, print_json, warn
from roadstead.client import ApiClient
from roadstead.client.manifests import Applied, Manifest, apply_manifests, read_manifests
from roadstead.cluster.configuration import Isolation
from roadstead.cluster.inventory import Inventory
from roadstead.cluster.layout import Layout
from roadstead.cluster.reach import entries
from roadstead.cluster.readiness import Standing

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

    Without --detach the system lives until Ctrl-C, and nothing of it remains. Exit code 1 means that something did
    not come up.

    \b
    roadstead up examples/user-platform
    roadstead up kubernetes/setup kubernetes/server.yaml --detach
    """  # fmt: skip
    begun = time.monotonic()
    project = project_at(paths[0])
    for outcome in make_certificates(project):
        if outcome.reason:
            err.print(f"Made certificate {outcome.certificate.name} ({outcome.reason}).")
    manifests = _read(paths)
    configuration = configuration_from(config, name, isolation, project.file)
    running = start_showing_progress(configuration, attached=not detach)
    try:
        standings = asyncio.run(_bring_up(running.layout, manifests, timeout, output, begun))
        if not detach:
            asyncio.run(_follow(running.layout))
    except KeyboardInterrupt:
        standings = []
    finally:
        if not detach:
            err.print("Stopping ...")
            running.stop()
    if any(standing.state != "ready" for standing in standings):
        raise SystemExit(1)


def _read(paths: Sequence[Path]) -> list[Manifest]:
    """Read all manifests; a file that cannot be read is reported, the others count."""
    manifests, problems = read_manifests(paths)
    for problem in problems:
        warn(str(problem))
    if not manifests:
        raise InputError(f"there is no Kubernetes manifest in {', '.join(map(str, paths))}")
    return manifests


async def _bring_up(
    layout: Layout, manifests: Sequence[Manifest], timeout: float, output: str, begun: float
) -> list[Standing]:
    async with ApiClient.from_kubeconfig(layout.kubeconfig, user_agent=FIELD_MANAGER) as client:
        failed = await _apply(client, manifests)
        async with Inventory(client) as inventory:
            with Screen(err) as screen:
                standings = await inventory.settle(screen.show, timeout)
            standings = [*failed, *standings]
            _conclude(layout, inventory, standings, output, time.monotonic() - begun)
            return standings


async def _apply(client: ApiClient, manifests: Sequence[Manifest]) -> list[Standing]:
    failed, count = [], 0
    async for applied in apply_manifests(client, manifests, field_manager=FIELD_MANAGER):
        count += 1
        if applied.error is not None:
            failed.append(_refused(applied))
            err.print(standing_line(failed[-1]))
    err.print(f"Applied {count - len(failed)} of {count} objects.")
    return failed


def _refused(applied: Applied) -> Standing:
    manifest = applied.manifest
    return Standing(manifest.kind, manifest.key, "failed", f"{manifest.source}: {applied.error}")


def _conclude(layout: Layout, inventory: Inventory, standings: Sequence[Standing], output: str, seconds: float) -> None:
    found = entries(inventory.objects)
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
    behind = [standing for standing in standings if standing.state != "ready"]
    for standing in behind:
        err.print(standing_line(standing))
    word = "everything is ready" if not behind else f"{len(behind)} of {len(standings)} are not ready"
    err.print(f"\n[bold]Up after {seconds:.1f} s: {word}.[/]")
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

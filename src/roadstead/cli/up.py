"""`roadstead up`: starts a cluster, applies manifests, shows what becomes of them, and follows until Ctrl-C.

The supervisor is started first, with no more imported than that takes; what comes then is in `bringing_up`.
"""

import time
from pathlib import Path

import click

from roadstead.cli.clusters import configuration_from, start, wait_showing_progress
from roadstead.cli.projects import project_at
from roadstead.cli.terminal import err, name_option, output_option
from roadstead.cluster.configuration import Isolation


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
        # While the cluster starts: what it will need, and the rest of this program.
        from roadstead.cli import bringing_up

        documents = bringing_up.prepare(paths, project)
        wait_showing_progress(starting)
    except BaseException:
        running.end()
        raise
    try:
        standings = bringing_up.bring_up(running.layout, documents, timeout, output, begun)
        if not detach:
            bringing_up.follow(running.layout)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if not detach:
            err.print("Stopping ...")
            running.end()
    if any(standing.state != "ready" for standing in standings):
        raise SystemExit(1)

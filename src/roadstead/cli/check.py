"""`roadstead check`: what is wrong with manifests, before anything runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from roadstead.cli.cert import project_at
from roadstead.cli.terminal import InputError, err, output_option, print_json
from roadstead.cli.up import manifest_paths
from roadstead.client.manifests import Manifests, read_manifests
from roadstead.cluster.checking import check
from roadstead.cluster.checks.finding import Finding
from roadstead.node.images import installation


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@output_option
def command(paths: tuple[Path, ...], output: str) -> None:
    """Say what is wrong with Kubernetes manifests, without a cluster.

    PATHS are read as `roadstead up` reads them, with the roadstead.toml beside or above the first one. Each line is
    FILE:LINE: SEVERITY: OBJECT: FIELD: what is wrong. An error is what would not come up, or not do what it says.
    Exit code 1 means that there are errors.

    \b
    roadstead check examples/user-platform
    roadstead check kubernetes/ -o json
    """
    project = project_at(paths[0])
    manifests = _without_configuration(read_manifests(manifest_paths(paths, project)))
    if not manifests.documents and not manifests.problems:
        raise InputError(f"there is no Kubernetes manifest in {', '.join(map(str, paths))}")
    findings = check(manifests, project, installation(), datetime.now(UTC))
    if output == "json":
        print_json({"objects": len(manifests.documents), "findings": [_as_json(one) for one in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
        err.print(summary(len(manifests.documents), findings))
    if any(finding.severity == "error" for finding in findings):
        raise SystemExit(1)


def _without_configuration(manifests: Manifests) -> Manifests:
    """Leave out kind's own files, as `up` does: they are no manifests."""
    documents = tuple(one for one in manifests.documents if "kind.x-k8s.io/" not in one.object["apiVersion"])
    return Manifests(documents, manifests.problems)


def summary(objects: int, findings: Sequence[Finding]) -> str:
    """Return the one line that tells how it went."""
    errors = sum(finding.severity == "error" for finding in findings)
    counts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in
              ((errors, "error"), (len(findings) - errors, "warning")) if count]  # fmt: skip
    return f"Checked {objects} objects: {', '.join(counts) or 'nothing is wrong'}."


def _as_json(finding: Finding) -> dict[str, object]:
    return {**finding._asdict(), "path": str(finding.path)}

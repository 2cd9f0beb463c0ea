"""`roadstead check`: what is wrong with manifests, before anything runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from roadstead.cli.projects import manifest_paths, project_at
from roadstead.cli.terminal import InputError, err, output_option, print_json
from roadstead.client.manifests import Manifests, read_manifests
from roadstead.cluster.checking import check
from roadstead.cluster.checks.finding import Finding
from roadstead.cluster.checks.policies import check_policy_file, is_policy_file
from roadstead.cluster.descriptors import read_services
from roadstead.node.images import installation
from roadstead.node.project import Project


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--descriptors",
    "described",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Where the services are described that policies name: descriptor sets, .proto files, folders. Repeatable.",
)
@output_option
def command(paths: tuple[Path, ...], described: tuple[Path, ...], output: str) -> None:
    """Say what is wrong with Kubernetes manifests, without a cluster.

    PATHS are read as `roadstead up` reads them, with the roadstead.toml beside or above the first one. Each line is
    FILE:LINE: SEVERITY: OBJECT: FIELD: what is wrong. An error is what would not come up, or not do what it says.
    Exit code 1 means that there are errors. A service's policy (policy.yaml, or a name that ends so) is checked, too,
    whether PATHS name it or a folder with it.

    \b
    roadstead check examples/user-platform
    roadstead check kubernetes/ -o json
    roadstead check server/policy.yaml --descriptors api.binpb
    """
    project = project_at(paths[0])
    own = [path for path in paths if is_policy_file(path)]
    rest = tuple(path for path in paths if path not in own)
    manifests = _without_configuration(read_manifests(manifest_paths(rest, project) if rest else ()))
    manifests, found = _without_policies(manifests)
    own += found
    if not manifests.documents and not manifests.problems and not own:
        raise InputError(f"there is no Kubernetes manifest in {', '.join(map(str, paths))}")
    services = read_services((*described, *places(project, paths[0])))
    findings = check(manifests, project, installation(), datetime.now(UTC), services)
    findings += [one for path in own for one in check_policy_file(path, path.read_text(encoding="utf-8"), services)]
    count = len(manifests.documents) + len(own)
    if output == "json":
        print_json({"objects": count, "findings": [_as_json(one) for one in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
        err.print(summary(count, findings))
    if any(finding.severity == "error" for finding in findings):
        raise SystemExit(1)


def places(project: Project, path: Path) -> tuple[Path, ...]:
    """Return where the services of a project are described: what it says, or else its folder and its images' folders.

    Without a project it is the folder of the first path.
    """
    if project.descriptors:
        return project.descriptors
    folder = project.file.parent if project.file is not None else path if path.is_dir() else path.resolve().parent
    return (folder, *(image.directory for image in project.images.values()))


def _without_configuration(manifests: Manifests) -> Manifests:
    """Leave out kind's own files, as `up` does: they are no manifests."""
    documents = tuple(one for one in manifests.documents if "kind.x-k8s.io/" not in one.object["apiVersion"])
    return Manifests(documents, manifests.problems)


def _without_policies(manifests: Manifests) -> tuple[Manifests, list[Path]]:
    """Take the policies away from what could not be read as manifests, and return their paths, too."""
    found = [path for path in dict.fromkeys(problem.path for problem in manifests.problems) if is_policy_file(path)]
    return Manifests(manifests.documents, tuple(one for one in manifests.problems if one.path not in found)), found


def summary(objects: int, findings: Sequence[Finding]) -> str:
    """Return the one line that tells how it went."""
    errors = sum(finding.severity == "error" for finding in findings)
    counts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in
              ((errors, "error"), (len(findings) - errors, "warning")) if count]  # fmt: skip
    return f"Checked {objects} objects: {', '.join(counts) or 'nothing is wrong'}."


def _as_json(finding: Finding) -> dict[str, object]:
    return {**finding._asdict(), "path": str(finding.path)}

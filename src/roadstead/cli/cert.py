"""`roadstead cert`: the TLS Secrets that a project lists in roadstead.toml."""

from datetime import UTC, datetime
from pathlib import Path

import click

from roadstead.cli.projects import project_at
from roadstead.cli.terminal import CommandError, InputError, output_option, print_json, print_rows
from roadstead.cluster.certificates import Outcome, authority_files, ensure_certificates
from roadstead.node.project import Project


@click.command("cert")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=".")
@click.option("--renew", is_flag=True, help="Make every certificate anew, also those that are still good.")
@output_option
def command(path: Path, renew: bool, output: str) -> None:
    """Make the TLS Secrets that a project lists under [certificates] in its roadstead.toml.

    Each becomes a Secret manifest at the path that the project names, signed by the project's own authority
    (certs/ca.crt: give it to clients as what they trust). A certificate that is still good is kept. `roadstead up`
    does this by itself.

    \b
    roadstead cert examples/user-platform
    kubectl apply -f examples/user-platform/kubernetes/setup/
    """
    project = project_at(path)
    if project.file is None or not project.certificates:
        raise InputError(
            f"there is nothing to make: no roadstead.toml at or above {path} lists certificates; "
            "add a table such as [certificates.web] with namespace, hosts and manifest"
        )
    outcomes = make_certificates(project, renew=renew)
    authority = authority_files(project.file)[0]
    if output == "json":
        print_json({"authority": str(authority), "certificates": [_as_json(outcome) for outcome in outcomes]})
        return
    print_rows([("SECRET", "HOSTS", "EXPIRES", "MANIFEST"), *map(_row, outcomes)])
    click.echo(f"Clients trust {authority}")


def make_certificates(project: Project, *, renew: bool = False) -> list[Outcome]:
    """Make or keep the project's certificates. What prevents it ends the command."""
    try:
        return list(ensure_certificates(project, datetime.now(UTC), renew=renew))
    except OSError as error:
        raise CommandError(
            f"the project's certificates cannot be made ({error}): {error.filename} has to be yours to read and write; "
            "if another user made it, remove it and they are made anew"
        ) from error
    except ValueError as error:
        raise CommandError(f"the project's certificates cannot be made: {error}") from error


def _row(outcome: Outcome) -> tuple[str, str, str, str]:
    certificate = outcome.certificate
    became = f"made ({outcome.reason})" if outcome.reason else "kept"
    name = f"{certificate.namespace}/{certificate.name}"
    return name, ",".join(certificate.hosts), f"{outcome.expires:%Y-%m-%d}", f"{certificate.manifest} {became}"


def _as_json(outcome: Outcome) -> dict[str, object]:
    certificate = outcome.certificate
    return {
        "name": certificate.name,
        "namespace": certificate.namespace,
        "hosts": list(certificate.hosts),
        "expires": outcome.expires.isoformat(),
        "manifest": str(certificate.manifest),
        "reason": outcome.reason,
    }

"""A project's certificates are made once, kept while they are good, and made anew for a reason that is told."""

import base64
import stat
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from roadstead.cluster.certificates import authority_files, ensure_certificates
from roadstead.lib.pki import covered_names
from roadstead.node.project import Certificate, Project

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path):
    return project_with(tmp_path, "foo.example.com", "*.bar.example.com")


def project_with(folder, *hosts: str) -> Project:
    certificate = Certificate("gateway", "web", hosts, folder / "kubernetes" / "gateway.secret.yaml")
    return Project(folder / "roadstead.toml", certificates={"gateway": certificate})


def reasons(project: Project, now: datetime = NOW, **options) -> list[str]:
    return [outcome.reason for outcome in ensure_certificates(project, now, **options)]


def test_the_secret_is_a_manifest_that_only_its_owner_reads(project) -> None:
    assert reasons(project) == ["there was none"]
    manifest = project.certificates["gateway"].manifest
    secret = yaml.safe_load(manifest.read_text())
    assert (secret["kind"], secret["type"], secret["metadata"]) == (
        "Secret", "kubernetes.io/tls", {"name": "gateway", "namespace": "web"},
    )  # fmt: skip
    assert covered_names(base64.b64decode(secret["data"]["tls.crt"])) == ["foo.example.com", "*.bar.example.com"]
    assert base64.b64decode(secret["data"]["ca.crt"]) == authority_files(project.file)[0].read_bytes()
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600


def test_a_good_certificate_is_kept(project) -> None:
    reasons(project)
    before = project.certificates["gateway"].manifest.read_bytes()
    assert reasons(project) == [""]
    assert project.certificates["gateway"].manifest.read_bytes() == before


def test_it_is_made_anew_before_it_expires(project) -> None:
    reasons(project)
    assert reasons(project, NOW + timedelta(days=370)) == ["it expires on 2031-02-02"]


def test_it_is_made_anew_for_other_names(project, tmp_path) -> None:
    reasons(project)
    assert reasons(project_with(tmp_path, "new.example.com")) == ["its names were foo.example.com, *.bar.example.com"]


def test_it_is_made_anew_for_a_new_authority_and_when_damaged_and_on_request(project) -> None:
    reasons(project)
    for file in authority_files(project.file):
        file.unlink()
    assert reasons(project) == ["the authority is new"]
    project.certificates["gateway"].manifest.write_text("data: {}\n")
    assert reasons(project) == ["its manifest was damaged"]
    assert reasons(project, renew=True) == ["renewal was asked for"]

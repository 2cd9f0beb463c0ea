"""roadstead.toml: what is read from it, and how its mistakes are named."""

from pathlib import Path

import pytest

from roadstead.node.project import Certificate, Host, Image, ProjectError, find_project, parse_project, read_project

FILE = Path("/shop/roadstead.toml")
WHOLE = """
[images."registry.example.com/user:1.0.0"]
command = ["python", "-m", "server"]
directory = "backend"
environment = { PYTHONPATH = "." }
python = "requirements.txt"

[hosts.warehouse]
address = "10.0.0.5"
command = ["python", "-m", "tcp_server"]

[certificates.example-gateway]
namespace = "user-platform"
hosts = ["foo.example.com"]
manifest = "kubernetes/gateway.secret.yaml"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        parse_project(text, FILE)
    return [str(problem) for problem in caught.value.problems]


def test_every_section_is_read_with_paths_relative_to_the_file():
    project = parse_project(WHOLE, FILE)
    name = "registry.example.com/user:1.0.0"
    command = ("python", "-m", "server")
    environment = {"PYTHONPATH": "."}
    assert project.images == {
        name: Image(name, command, Path("/shop/backend"), environment, Path("/shop/requirements.txt"))
    }
    assert project.hosts == {"warehouse": Host("warehouse", "10.0.0.5", ("python", "-m", "tcp_server"), Path("/shop"))}
    manifest = Path("/shop/kubernetes/gateway.secret.yaml")
    wanted = Certificate("example-gateway", "user-platform", ("foo.example.com",), manifest)
    assert project.certificates == {"example-gateway": wanted}


def test_every_mistake_is_named_with_key_and_remedy():
    text = '[images."a:1"]\ncomand = ["x"]\n[hosts.w]\naddress = "here"\ncommand = []\n[certificate.c]\n'
    assert problems(text) == [
        'images."a:1".comand: is not known. Did you mean command?',
        'images."a:1".command: is missing: a list of words that is not empty. '
        'For instance: command = ["python", "-m", "server"]',
        "hosts.w.address: must be an IPv4 address, not 'here'. For instance: address = \"10.0.0.5\"",
        "hosts.w.command: must be a list of words that is not empty, not []. "
        'For instance: command = ["python", "-m", "server"]',
        "certificate: is not known. Did you mean certificates?",
    ]


@pytest.mark.parametrize("text", ["images = 3", "images.a = 3", 'images.a.command = "python"'])
def test_wrong_types_are_problems_not_exceptions(text: str):
    assert len(problems(text)) == 1


def test_syntax_errors_tell_the_line():
    (problem,) = problems('[images."a"]\ncommand = 1 2\n')
    assert "is not TOML" in problem and "line 2" in problem


def test_the_nearest_file_above_a_manifest_is_found(tmp_path: Path):
    (tmp_path / "roadstead.toml").write_text(WHOLE)
    (tmp_path / "kubernetes" / "setup").mkdir(parents=True)
    manifest = tmp_path / "kubernetes" / "setup" / "namespace.yaml"
    manifest.touch()
    assert find_project(manifest) == tmp_path / "roadstead.toml"
    assert find_project(manifest.parent) == tmp_path / "roadstead.toml"
    assert read_project(tmp_path).file == tmp_path / "roadstead.toml"


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path):
    with pytest.raises(ProjectError, match="cannot be read"):
        read_project(tmp_path / "roadstead.toml")


def test_descriptors_of_services_are_paths_beside_the_file():
    assert parse_project('descriptors = ["api.binpb"]', FILE).descriptors == (FILE.parent / "api.binpb",)
    assert problems("descriptors = 1")[0].startswith("descriptors: must be a list of paths")


def test_the_manifests_of_the_system_are_paths_beside_the_file():
    assert parse_project('manifests = ["kubernetes", "more/db.yaml"]', FILE).manifests == (
        Path("/shop/kubernetes"),
        Path("/shop/more/db.yaml"),
    )
    assert problems("manifests = []") == [
        'manifests: must be a list of paths that is not empty, not []. For instance: manifests = ["kubernetes"]'
    ]

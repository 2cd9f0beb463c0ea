"""`roadstead check` as a command: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from roadstead.cli.check import command

EXAMPLE = Path(__file__).parents[3] / "examples" / "user-platform"
FINE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n"
WARNED = "apiVersion: v1\nkind: Service\nmetadata: {name: lost}\nspec:\n  selector: {app: a}\n  ports: [{port: 80}]\n"
WRONG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndata: {count: 1}\n"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(FINE)
    return tmp_path


def checked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def test_nothing_is_wrong_with_the_example() -> None:
    done = checked(EXAMPLE)
    assert (done.exit_code, done.stdout) == (0, "")


def test_errors_are_lines_with_file_and_line_and_exit_code_1(manifests: Path) -> None:
    (manifests / "b.yaml").write_text(f"{WARNED}---\n{WRONG}")
    done = checked(manifests)
    assert done.exit_code == 1
    warning, error = done.stdout.splitlines()
    place = f"{manifests}/b.yaml:5: warning: Service default/lost: spec.selector"
    assert warning == f"{place}: no pod of the manifests has the labels app=a"
    assert error.startswith(f"{manifests}/b.yaml:11: error: ConfigMap default/wrong: data.count: ")


def test_warnings_alone_are_exit_code_0(manifests: Path) -> None:
    (manifests / "b.yaml").write_text(WARNED)
    done = checked(manifests)
    assert done.exit_code == 0
    assert "warning" in done.stdout


def test_programs_get_json(manifests: Path) -> None:
    (manifests / "b.yaml").write_text(WRONG)
    (manifests / "kind.yaml").write_text("apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nmetadata: {name: a}\n")
    done = checked(manifests, "-o", "json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert report["objects"] == 2
    [finding] = report["findings"]
    assert finding["path"] == f"{manifests}/b.yaml"
    assert (finding["line"], finding["severity"], finding["field"]) == (4, "error", "data.count")


def test_a_folder_without_manifests_is_a_mistake(tmp_path: Path) -> None:
    assert checked(tmp_path).exit_code == 2


def test_a_wrong_project_file_is_a_mistake(manifests: Path) -> None:
    (manifests / "roadstead.toml").write_text("image = 1\n")
    assert checked(manifests).exit_code == 2


POLICY = "roles:\n  a: [com.example.User/GetUsr]\n"


def test_a_policy_is_checked_against_the_services_that_are_described(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    (tmp_path / "described").mkdir()
    done = checked(policy)
    assert (done.exit_code, done.stdout.count("warning: the methods of com.example.User were not looked up")) == (0, 1)
    done = checked(policy, "--descriptors", EXAMPLE / "proto")
    assert done.exit_code == 1
    assert done.stdout == f"{policy}:2: error: com.example.User has no method GetUsr; did you mean GetUser?\n"
    (tmp_path / "user.proto").write_text((EXAMPLE / "proto" / "user.proto").read_text())
    assert checked(policy).exit_code == 1, "beside the first path is where it looks by itself"
    (tmp_path / "roadstead.toml").write_text('descriptors = ["described"]')
    assert "were not looked up" in checked(policy).stdout, "only where the project says"


def test_a_policy_beside_manifests_is_checked_as_one(manifests: Path) -> None:
    (manifests / "below").mkdir()
    policy = manifests / "below" / "user-policy.yaml"
    policy.write_text(POLICY)
    done = checked(manifests, "--descriptors", EXAMPLE / "proto")
    assert done.exit_code == 1
    assert done.stdout == f"{policy}:2: error: com.example.User has no method GetUsr; did you mean GetUser?\n"
    assert "Checked 2 objects" in done.stderr
    policy.write_text("roles: [\n")
    assert checked(manifests).stdout.startswith(f"{policy}:2: error: not YAML: ")
    (manifests / "a.yaml").unlink()
    policy.write_text("roles: {}\n")
    assert checked(manifests).exit_code == 0


def test_what_is_neither_a_manifest_nor_a_policy_is_an_error(manifests: Path) -> None:
    (manifests / "policy.yaml").write_text("rules: []\n")
    assert checked(manifests).stdout == f"{manifests}/policy.yaml:1: error: apiVersion is not set\n"

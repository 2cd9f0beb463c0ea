"""A cluster enters and leaves the user's kubeconfig without touching what else is there."""

import stat

import pytest
import yaml

from roadstead.cluster.kubeconfig import change, context_name, kubeconfig, merged, user_file, without
from roadstead.lib.pki import KeyPair

OURS = kubeconfig("devops", "https://127.0.0.1:6443", b"CA", KeyPair(b"CERT", b"KEY"))
THEIRS = {
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me", "namespace": "web"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "current-context": "prod",
}


def test_its_context_becomes_current_and_others_stay() -> None:
    both = merged(THEIRS, OURS)
    assert both["current-context"] == context_name("devops") == "roadstead-devops"
    assert [entry["name"] for entry in both["clusters"]] == ["prod", "roadstead-devops"]
    assert both["users"][0] == THEIRS["users"][0]


def test_creating_twice_leaves_one_entry() -> None:
    assert merged(merged(THEIRS, OURS), OURS) == merged(THEIRS, OURS)


def test_leaving_restores_everything_but_the_choice_of_context() -> None:
    left = without(merged(THEIRS, OURS), "roadstead-devops")
    assert {key: left[key] for key in ("clusters", "contexts", "users")} == {
        key: THEIRS[key] for key in ("clusters", "contexts", "users")
    }
    assert left["current-context"] == ""
    assert without({**THEIRS}, "roadstead-devops")["current-context"] == "prod"


def test_the_file_is_private_and_changed_in_one_step(tmp_path) -> None:
    path = tmp_path / "kube" / "config"
    change(path, lambda existing: merged(existing, OURS))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text())["current-context"] == "roadstead-devops"


def test_a_file_that_is_something_else_is_left_as_it_was(tmp_path) -> None:
    path = tmp_path / "config"
    path.write_text("- a list\n")
    with pytest.raises(ValueError, match=str(path)):
        change(path, lambda existing: merged(existing, OURS))
    assert path.read_text() == "- a list\n"


def test_kubectls_own_choice_of_file_is_followed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/first:{tmp_path}/second")
    assert user_file() == tmp_path / "first"
    assert user_file(tmp_path / "explicit") == tmp_path / "explicit"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_file() == tmp_path / ".kube" / "config"

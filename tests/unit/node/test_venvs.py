"""Virtual environments of images."""

import asyncio
from pathlib import Path

import pytest

from roadstead.node import venvs
from roadstead.node.venvs import VenvError, VirtualEnvironments, venv_folder


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "requirements.txt"
    file.write_text("nothing==1\n")
    return file


def test_the_place_depends_on_the_content(requirements: Path, tmp_path: Path):
    one, other = venv_folder(b"a"), venv_folder(b"b")
    assert one != other
    assert one.parent == tmp_path / "cache" / "roadstead" / "venvs"


def test_an_environment_is_made_once_however_many_want_it(requirements: Path, monkeypatch):
    commands = []

    async def run(*command: str) -> None:
        commands.append(command[1:3])
        if command[2] == "venv":
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").touch()
        await asyncio.sleep(0)

    monkeypatch.setattr(venvs, "_run", run)

    async def several():
        environments = VirtualEnvironments()
        assert environments.ready(requirements) is None
        made = await asyncio.gather(*(environments.make(requirements) for _ in range(3)))
        assert environments.ready(requirements) == made[0]
        return made

    assert len(set(asyncio.run(several()))) == 1
    assert commands == [("-m", "venv"), ("-m", "pip")]


def test_what_pip_said_is_told_and_nothing_half_made_is_left(requirements: Path, monkeypatch):
    real = venvs._run

    async def run(*command: str) -> None:
        if command[2] == "venv":
            await real("/bin/mkdir", "-p", command[-1])
        else:
            await real("/bin/sh", "-c", "echo first; echo No matching distribution >&2; exit 1")

    monkeypatch.setattr(venvs, "_run", run)
    with pytest.raises(VenvError, match="No matching distribution"):
        asyncio.run(VirtualEnvironments().make(requirements))
    assert list(venv_folder(b"").parent.iterdir()) == []


def test_a_missing_requirements_file_is_an_error(requirements: Path):
    with pytest.raises(FileNotFoundError):
        VirtualEnvironments().ready(requirements.with_name("none.txt"))

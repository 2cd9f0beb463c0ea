"""Virtual environments of images with a requirements file: made once per content, shared by clusters.

They are in `$XDG_CACHE_HOME/roadstead/venvs/HASH`, where the hash covers interpreter and requirements. A half-made one
is never used: it is built under another name and renamed.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
from pathlib import Path


class VenvError(Exception):
    """An image's virtual environment could not be made; the message has what pip said last."""


def venv_folder(requirements: bytes) -> Path:
    """Return where the environment for these requirements is, made or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fingerprint = hashlib.sha256(sys.version.encode() + b"\0" + sys.executable.encode() + b"\0" + requirements)
    return cache / "roadstead" / "venvs" / fingerprint.hexdigest()[:32]


class VirtualEnvironments:
    """Makes environments; pods that want the same one wait for the same work."""

    def __init__(self) -> None:
        self._locks: dict[Path, asyncio.Lock] = {}

    def ready(self, requirements: Path) -> Path | None:
        """Return the environment if it is there already. Raises OSError if the file cannot be read."""
        folder = venv_folder(requirements.read_bytes())
        return folder if (folder / "bin" / "python").exists() else None

    async def make(self, requirements: Path) -> Path:
        """Return the environment, made first if needed. Raises VenvError or OSError."""
        folder = venv_folder(await asyncio.to_thread(requirements.read_bytes))
        async with self._locks.setdefault(folder, asyncio.Lock()):
            if not (folder / "bin" / "python").exists():
                await _build(folder, requirements)
        return folder


async def _build(folder: Path, requirements: Path) -> None:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        await _run(sys.executable, "-m", "venv", str(draft))
        await _run(str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements))
        with contextlib.suppress(FileExistsError):
            draft.rename(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        last = output.decode(errors="replace").strip().splitlines()[-3:]
        raise VenvError(f"`{' '.join(command[1:])}` failed: {' '.join(last)}")

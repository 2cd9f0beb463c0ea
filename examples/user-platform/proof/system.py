"""How the running system is reached from outside: channels through its Gateway and Ingress, and kubectl."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from report import Unexpected

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "user-platform"
FOO, BAR, GREETER = "foo.example.com", "bar.example.com", "grpctest.dev.mydomain.com"
Seen = TypeVar("Seen")


@dataclass
class System:
    """`entries` are the ways in as `roadstead up -o json` names them; `authority_file` is the CA that clients trust."""

    kubeconfig: Path
    kubectl: Path
    entries: Sequence[Mapping[str, Any]]
    authority_file: Path
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    @property
    def authority(self) -> bytes:
        """The authority's certificate, PEM."""
        return self.authority_file.read_bytes()

    def entry(self, host: str, *, tls: bool = True) -> tuple[str, int]:
        """Return the address and port at which a host is served."""
        for entry in self.entries:
            if entry["host"] == host and (entry["secret"] is not None) is tls:
                return entry["address"], entry["port"]
        raise Unexpected(f"nothing serves {host} {'with' if tls else 'without'} TLS")

    def new_channel(self, host: str, *, at: str = "", authority: bytes = b"") -> grpc.Channel:
        """Open a TLS connection to where `at` (default: the host itself) is served, asking for `host`."""
        address, port = self.entry(at or host)
        credentials = grpc.ssl_channel_credentials(authority or self.authority)
        # A channel of its own connection: grpcio would share one between equal channels.
        options = [
            ("grpc.ssl_target_name_override", host),
            ("grpc.default_authority", host),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        return grpc.secure_channel(f"{address}:{port}", credentials, options)

    def channel(self, host: str) -> grpc.Channel:
        """Return the one channel to a host that most checks share."""
        if host not in self._channels:
            self._channels[host] = self.new_channel(host)
        return self._channels[host]

    def kube(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl in the system's namespace and return what it printed."""
        done = subprocess.run(
            [self.kubectl, "--namespace", NAMESPACE, *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise Unexpected(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, kind: str, name: str = "", selector: str = "") -> Any:
        """Return an object, or the objects that a label selector picks."""
        if name:
            return json.loads(self.kube("get", kind, name, "-o", "json"))
        return json.loads(self.kube("get", kind, "-l", selector, "-o", "json"))["items"]

    def pod(self, selector: str) -> str:
        """Return the name of one running pod with these labels."""
        for pod in self.get("pods", selector=selector):
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running":
                return str(pod["metadata"]["name"])
        raise Unexpected(f"no pod with {selector} runs")


def eventually(see: Callable[[], Seen], good: Callable[[Seen], bool], patience: float = 30.0) -> Seen:
    """Look until it is good. Raises Unexpected with what was seen last when patience ends."""
    deadline = time.monotonic() + patience
    while True:
        seen = see()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            raise Unexpected(f"after {patience:.0f} s still {seen}")
        time.sleep(0.1)

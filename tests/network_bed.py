"""A node's network for tests: run a function inside fresh namespaces, as root or as an ordinary user, and probe it."""

import ctypes
import gc
import os
import pickle
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pytest

from roadstead.node.network.links import NetworkSettings, NodeNetwork
from roadstead.node.network.namespaces import NEW_MOUNT, NEW_NETWORK, become_namespace_root, inside

NOBODY = 65534
_SET_DUMPABLE = 4

as_both_users = pytest.mark.parametrize(
    "user",
    [
        pytest.param("root", marks=pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user")),
        "ordinary",
    ],
)


def in_node(user: str, test: Callable[[NodeNetwork], Any]) -> Any:
    """Run `test` in a forked child with a prepared node network of its own; return its result, re-raise its failure."""

    def run() -> Any:
        network = NodeNetwork(NetworkSettings())
        network.prepare()
        return test(network)

    return in_namespaces(user, run)


def in_namespaces(user: str, test: Callable[[], Any]) -> Any:
    """Run `test` in a forked child in new user (for an ordinary user), network and mount namespaces."""

    def run() -> Any:
        become_namespace_root(NEW_NETWORK | NEW_MOUNT)
        return test()

    return in_child(user, run)


def in_child(user: str, test: Callable[[], Any]) -> Any:
    """Run `test` in a forked child as this user; return its result, re-raise its failure."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        # What earlier tests left is not to be collected here: gRPC's pollers wait for threads that only the parent has.
        gc.freeze()
        _report(writer, user, test)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:  # this test's time is over
        os.kill(process, signal.SIGKILL)
        raise
    finally:
        os.waitpid(process, 0)
    if not answer:
        raise AssertionError("the forked test died without an answer")
    result, failure = pickle.loads(answer)
    if failure:
        raise AssertionError(failure)
    return result


def _report(writer: int, user: str, test: Callable[[], Any]) -> None:
    try:
        if user != "root" and os.geteuid() == 0:
            become_ordinary()
        answer = (test(), None)
    except BaseException:  # noqa: BLE001 - whatever ended the test is its answer to the parent
        answer = (None, traceback.format_exc())
    os.write(writer, pickle.dumps(answer))
    os._exit(0)


def become_ordinary() -> None:
    """Give up root for good, as a login of an ordinary user would have none."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # A process that changed its user may not write its own /proc/self/uid_map; one that was started by that user may.
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1)


class Probe(NamedTuple):
    """One attempt: from an attached key (or `node`) to an address."""

    source: str
    address: str
    protocol: str
    port: int


class Bed:
    """Listeners in namespaces, and probes between them."""

    def __init__(self, network: NodeNetwork) -> None:
        self.network = network
        self.listeners: dict[tuple[str, str, int], socket.socket] = {}

    def listen(self, key: str, address: str, protocol: str, port: int) -> socket.socket:
        """Open a listener in an attached namespace; for the key `node`, in the node's own."""
        listener = self._socket(key, protocol)
        listener.bind((address, port))
        if protocol == "TCP":
            listener.listen(4096)
        self.listeners[(address, protocol, port)] = listener
        return listener

    def _socket(self, key: str, protocol: str) -> socket.socket:
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        if key == "node":
            made = socket.socket(socket.AF_INET, kind)
        else:
            with inside(self.network.namespace(key)):
                made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return made

    def connect(self, probe: Probe, timeout: float = 1.0) -> str:
        """Return `open`, `refused` or `silent` for one TCP attempt."""
        with self._socket(probe.source, "TCP") as attempt:
            attempt.connect_ex((probe.address, probe.port))
            _, ready, _ = select.select([], [attempt], [], timeout)
            if not ready:
                return "silent"
            return "refused" if attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "open"

    def probe(self, expected: Mapping[Probe, bool], patience: float = 3.0) -> dict[Probe, bool]:
        """Try all at once and return what got through: every expected one gets `patience`, the rest a moment."""
        attempts = {probe: self._attempt(probe, number) for number, probe in enumerate(expected)}
        arrived: set[Probe] = set()
        wanted = {probe for probe, allowed in expected.items() if allowed}
        deadline = time.monotonic() + patience
        settled = None
        while time.monotonic() < deadline:
            arrived |= self._arrivals(attempts)
            if wanted <= arrived:
                settled = settled or time.monotonic()
                if time.monotonic() - settled > 0.1:
                    break
            time.sleep(0.005)
        for attempt in attempts.values():
            attempt.close()
        return {probe: probe in arrived for probe in expected}

    def _attempt(self, probe: Probe, number: int) -> socket.socket:
        attempt = self._socket(probe.source, probe.protocol)
        if probe.protocol == "TCP":
            attempt.connect_ex((probe.address, probe.port))
        else:
            attempt.sendto(number.to_bytes(4, "big"), (probe.address, probe.port))
        return attempt

    def _arrivals(self, attempts: Mapping[Probe, socket.socket]) -> set[Probe]:
        opened = set()
        poll = select.poll()
        by_descriptor = {}
        for probe, attempt in attempts.items():
            if probe.protocol == "TCP":
                poll.register(attempt, select.POLLOUT)
                by_descriptor[attempt.fileno()] = probe, attempt
        for descriptor, _ in poll.poll(0):
            probe, attempt = by_descriptor[descriptor]
            if attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                opened.add(probe)
        order = list(attempts)
        return opened | {order[number] for number in self._datagrams()}

    def _datagrams(self) -> Iterable[int]:
        for (_, protocol, _), listener in self.listeners.items():
            while protocol == "UDP":
                try:
                    yield int.from_bytes(listener.recv(16), "big")
                except BlockingIOError:
                    break

import errno

import pytest

from roadstead.node.network import capabilities
from roadstead.node.network.capabilities import Capabilities, probe
from roadstead.node.network.links import NetworkError


def _refuse(error):
    def refused(*_):
        raise error

    return refused


def test_without_namespaces_policies_are_said_not_to_be_enforced(monkeypatch):
    monkeypatch.setattr(capabilities, "become_namespace_root", _refuse(OSError(errno.EPERM, "Operation not permitted")))
    found = probe()
    assert not found.namespaces
    assert not found.enforces_policies
    assert "NetworkPolicies are not enforced" in found.missing[0]
    assert "apparmor_restrict_unprivileged_userns" in found.missing[0]


class _PreparedBy:
    """A packet filter or network that does as it is told, or fails."""

    def __init__(self, error=None):
        self._error, self.limitations = error, []

    def commit(self, _):
        if self._error is not None:
            raise self._error

    def prepare(self):
        self.commit(None)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("packet_filter", "network", "words"),
    [
        (OSError(errno.EPROTONOSUPPORT, "Protocol not supported"), None, "no nf_tables in the kernel (Protocol not"),
        (None, NetworkError("could not set up the node's network: no veth"), "could not set up the node's network"),
    ],
)
def test_the_first_thing_that_is_missing_is_named(monkeypatch, packet_filter, network, words):
    monkeypatch.setattr(capabilities, "become_namespace_root", lambda _: None)
    monkeypatch.setattr(capabilities, "NftablesSocket", lambda: _PreparedBy(packet_filter))
    monkeypatch.setattr(capabilities, "NodeNetwork", lambda _: _PreparedBy(network))
    found = probe()
    assert found.namespaces
    assert not found.enforces_policies
    assert words in found.missing[0]


def test_a_probe_that_dies_is_an_answer_too(monkeypatch):
    monkeypatch.setattr(capabilities, "_try_everything", _refuse(MemoryError()))
    assert probe() == Capabilities(missing=("the probe of this machine's network ended without an answer",))

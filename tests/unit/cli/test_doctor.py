"""What the doctor makes of what was tried."""

from roadstead.cli.doctor import findings_from
from roadstead.node.network.capabilities import Capabilities


def test_what_fails_first_explains_the_rest() -> None:
    found = findings_from(Capabilities(missing=("no user namespaces; allow them",)), low_port=True, envoy=True)
    assert [(each.check, each.ok, each.remedy) for each in found[:3]] == [
        ("Namespaces for pods", False, "no user namespaces; allow them"),
        ("Services by the kernel's packet filter", False, "needs what is above: Namespaces for pods"),
        ("NetworkPolicy", False, "needs what is above: Namespaces for pods"),
    ]


def test_low_ports_are_not_needed() -> None:
    found = findings_from(Capabilities(True, True, True), low_port=False, envoy=True)
    assert [each.check for each in found if not each.ok] == ["Gateways on ports below 1024"]
    assert all(each.ok for each in found if each.needed)

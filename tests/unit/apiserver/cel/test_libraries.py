import pytest

from roadstead.apiserver.cel import CelSyntaxError, compile_rule
from roadstead.apiserver.cel.libraries import FUNCTIONS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'abc'.indexOf('c')", 2),
        ("['c'].indexOf('c')", 0),
        ("quantity('1').compareTo(quantity('2'))", -1),
        ("semver('1.0.0').compareTo(semver('2.0.0'))", -1),
        ("timestamp('2026-01-02T03:04:05Z').getHours()", 3),
        ("duration('4h').getHours()", 4),
    ],
)
def test_a_method_that_several_types_have(text, value):
    assert compile_rule(text)() == value


def test_a_library_may_have_the_name_of_a_variable():
    assert compile_rule("self.all(ip, ip.startsWith('1') && ip.size() > 0)")(self=["10.0.0.1"]) is True
    assert compile_rule("ip.isCanonical(self)")(self="10.0.0.1") is True
    assert "ip.isCanonical" in FUNCTIONS


@pytest.mark.parametrize(
    "text", ["ip.isGlobal('a')", "lists.of(1)", "strings.size('a')", "isCanonical('a')", "range(1)"]
)
def test_what_no_library_has_is_refused(text):
    with pytest.raises(CelSyntaxError, match="undeclared reference"):
        compile_rule(text)

"""Formats that rules name, and values that may be absent."""

import pytest

from roadstead.apiserver.cel import CelError, CelSyntaxError, NoOverload, compile_rule


def evaluate(rule, value=None):
    return compile_rule(rule)(self=value, oldSelf=None)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("dns1123Label", "a-1", "a.b"),
        ("dns1123LabelPrefix", "a-", "-a"),
        ("dns1123Subdomain", "a.b-c", "A"),
        ("dns1123SubdomainPrefix", "a.b-", "a..b"),
        ("dns1035Label", "a1", "1a"),
        ("dns1035LabelPrefix", "a-", "1"),
        ("qualifiedName", "example.com/Name", "a b"),
        ("labelValue", "a_b", "a b"),
        ("uri", "https://a.example/b", "b"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("byte", "YQ==", "a"),
        ("date", "2026-01-31", "2026-02-31"),
        ("datetime", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00"),
    ],
)
def test_a_format_complains_of_what_has_another(name, good, bad):
    rule = f"format.{name}().validate(self).hasValue()"
    assert (evaluate(rule, good), evaluate(rule, bad)) == (False, True)
    assert evaluate(f"format.named('{name}').value().validate(self).hasValue()", bad) is True


def test_complaints_can_be_shown():
    assert "a lowercase RFC 1123 label" in evaluate("format.dns1123Label().validate(self).value()[0]", "A")
    assert evaluate("format.dns1123Label().validate(self).orValue([])", "a") == []


def test_what_is_absent_has_no_value():
    assert evaluate("format.named('nothing').hasValue()") is False
    with pytest.raises(CelError, match="optional"):
        evaluate("format.named('nothing').value()")


@pytest.mark.parametrize("rule", ["format.nothing()", "format", "format.dns1123Label(1)", "format.named()"])
def test_other_formats_are_not_understood(rule):
    with pytest.raises(CelSyntaxError, match="undeclared reference"):
        compile_rule(rule)


@pytest.mark.parametrize("rule", ["self.validate('a')", "format.byte().validate(1)", "self.hasValue()"])
def test_other_values_are_no_formats(rule):
    with pytest.raises(NoOverload):
        evaluate(rule, "a")


def test_the_rules_of_the_gateway_apis_experimental_channel_are_understood():
    rule = (
        "size(self) == 0 || self == 'Cluster' || (self.matches('^.*/.+$') && "
        "!format.dns1123Subdomain().validate(self.split('/')[0]).hasValue() && self.split('/')[0] != 'k8s.io')"
    )
    assert [evaluate(rule, text) for text in ("", "Cluster", "a.example/B", "A/b", "k8s.io/b")] == [
        True, True, True, False, False,
    ]  # fmt: skip

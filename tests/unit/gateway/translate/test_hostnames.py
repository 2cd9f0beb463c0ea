import pytest

from roadstead.gateway.translate.hostnames import certificate_covers, covers, intersection, is_hostname, specificity


@pytest.mark.parametrize(
    ("pattern", "hostname", "expected"),
    [
        ("*", "foo.com", True),
        ("*", "*", True),
        ("foo.com", "foo.com", True),
        ("foo.com", "*.foo.com", False),
        ("*.foo.com", "a.foo.com", True),
        ("*.foo.com", "a.b.foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*.foo.com", "*.foo.com", True),
        ("*.foo.com", "*.a.foo.com", True),
        ("*.a.foo.com", "*.foo.com", False),
        ("*.foo.com", "barfoo.com", False),
        ("*.foo.com", "*", False),
    ],
)
def test_a_wildcard_stands_for_one_or_more_labels(pattern: str, hostname: str, expected: bool) -> None:
    assert covers(pattern, hostname) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("*", "foo.com", "foo.com"),
        ("*.com", "*.foo.com", "*.foo.com"),
        ("a.foo.com", "*.foo.com", "a.foo.com"),
        ("a.com", "b.com", None),
        ("foo.com", "*.foo.com", None),
    ],
)
def test_an_intersection_is_the_narrower_of_both(one: str, other: str, expected: str | None) -> None:
    assert intersection(one, other) == expected
    assert intersection(other, one) == expected


def test_the_most_specific_name_has_the_greatest_key() -> None:
    ordered = ["*", "*.com", "*.example.com", "a.com", "a.example.com"]
    assert sorted(("a.com", "*", "a.example.com", "*.example.com", "*.com"), key=specificity) == ordered


@pytest.mark.parametrize(
    ("name", "hostname", "expected"),
    [
        ("foo.com", "foo.com", True),
        ("FOO.com", "foo.COM", True),
        ("*.foo.com", "a.foo.com", True),
        ("*.foo.com", "a.b.foo.com", False),
        ("*.foo.com", "foo.com", False),
        ("*.foo.com", "*.foo.com", True),
        ("*.com", "*.foo.com", False),
        ("a.foo.com", "*.foo.com", False),
    ],
)
def test_a_certificates_wildcard_stands_for_one_label(name: str, hostname: str, expected: bool) -> None:
    assert certificate_covers(name, hostname) is expected


@pytest.mark.parametrize("name", ["", "-a.com", "a_b.com", "a..com", "*.*.com", "foo.*", "a.com\n", "A.com", "a" * 254])
def test_what_is_no_host_name(name: str) -> None:
    assert not is_hostname(name)

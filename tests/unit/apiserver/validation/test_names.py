import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.apiserver.validation import names

CHECKS = {
    "label": (names.label_complaints, ["a", "a-b", "0", "a" * 63], ["", "A", "a.b", "-a", "a_b", "a" * 64, "a\n"]),
    "subdomain": (names.subdomain_complaints, ["a", "a.b-c.d", "1.2"], ["", "A", ".a", "a..b", "a" * 254, "a\n"]),
    "service": (names.service_name_complaints, ["a", "a-1"], ["1a", "a.b", "A"]),
    "host": (names.host_complaints, ["a.b", "*.a.b"], ["*", "a.*", "*a.b", "*.*.a"]),
    "key": (
        names.qualified_name_complaints,
        ["a", "A.b_c", "x.y/z"],
        ["", "a b", "/a", "a/", "a/b/c", "A/b", "a" * 64],
    ),
    "value": (names.label_value_complaints, ["", "a", "A.b_c"], ["a b", "-a", "a" * 64]),
    "port": (names.port_name_complaints, ["grpc", "h2-80"], ["", "80", "GRPC", "a--b", "-a", "a-", "a" * 16]),
    "percent": (names.percent_complaints, ["0%", "150%"], ["", "5", "%", "-1%", "1.5%"]),
    "config key": (names.config_key_complaints, ["a.b_c", ".dockerconfigjson"], ["", "a b", ".", "..", "..a", "a/b"]),
    "variable": (names.variable_complaints, ["A", "a.b-c", "1", "a b"], ["", "A=B", "é", "a\n"]),
    "header": (names.header_complaints, ["X-A"], ["", "a b", "a:"]),
    "segment": (names.path_segment_complaints, ["system:a", "A b"], [".", "..", "a/b", "a%b"]),
}


@pytest.mark.parametrize(
    ("check", "text", "good"),
    [
        pytest.param(check, text, good, id=f"{name}-{text!r}"[:40])
        for name, (check, accepted, refused) in CHECKS.items()
        for good, texts in ((True, accepted), (False, refused))
        for text in texts
    ],
)
def test_names(check, text, good):
    assert (not check(text)) is good


def test_numbers_and_quantities():
    assert names.port_complaints(1) == names.port_complaints(65535) == []
    assert names.port_complaints(0) == ["must be between 1 and 65535, inclusive"]
    assert names.port_or_name_complaints("grpc") == names.port_or_name_complaints(80) == []
    assert names.quantity_complaints("500m") == names.quantity_complaints(1) == []
    assert names.quantity_complaints("-1") == ["must be greater than or equal to 0"]
    assert "must match" in names.quantity_complaints("much")[0]


@settings(max_examples=200)
@given(st.text(max_size=10))
def test_every_label_is_a_subdomain_and_every_subdomain_a_host(text):
    if not names.label_complaints(text):
        assert not names.subdomain_complaints(text)
        assert not names.qualified_name_complaints(text)
    if not names.subdomain_complaints(text):
        assert not names.host_complaints(text)

import re

import pytest

from roadstead.gateway import ir
from roadstead.gateway.translate.cors import read_cors
from roadstead.gateway.translate.problem import Problem


def allows(allowed: str, origin: str) -> bool:
    read = read_cors({"allowOrigins": [allowed]}, "cors")
    assert isinstance(read, ir.Cors)
    return any(re.fullmatch(expression, origin) for expression in read.origins)


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ("*", "https://any.com:8443", True),
        ("https://a.com", "https://a.com", True),
        ("https://a.com", "http://a.com", False),
        ("https://a.com", "https://aXcom", False),
        ("https://a.com", "https://a.com:8443", False),
        ("https://a.com:443", "https://a.com", True),
        ("http://a.com:8080", "http://a.com:8080", True),
        ("https://*.a.com", "https://b.a.com", True),
        ("https://*.a.com", "https://c.b.a.com", True),
        ("https://*.a.com", "https://a.com", False),
        ("https://*.a.com", "https://evil.com/.a.com", False),
        ("https://*", "https://a.com", True),
        ("https://*", "https://a.com:8443", False),
    ],
)
def test_origins(allowed: str, origin: str, expected: bool) -> None:
    assert allows(allowed, origin) is expected


def test_the_rest_is_taken_as_it_is_and_the_age_has_a_default() -> None:
    stated = {
        "allowMethods": ["GET", "PUT"],
        "allowHeaders": ["*"],
        "exposeHeaders": ["grpc-status"],
        "allowCredentials": True,
    }
    assert read_cors(stated, "cors") == ir.Cors((), ("GET", "PUT"), ("*",), ("grpc-status",), 5, True)


@pytest.mark.parametrize(
    "stated",
    [
        {"allowOrigins": ["a.com"]},
        {"allowOrigins": ["https://a.com/path"]},
        {"allowMethods": ["GE T"]},
        {"exposeHeaders": ["a,b"]},
    ],
)
def test_what_is_no_origin_or_name_is_refused(stated: dict[str, object]) -> None:
    read = read_cors(stated, "spec.rules[0].filters[0].cors")
    assert isinstance(read, Problem)
    assert read.reason == "UnsupportedValue"
    assert "spec.rules[0].filters[0].cors" in read.message

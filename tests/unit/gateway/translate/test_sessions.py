import pytest

from roadstead.api.objects import Object
from roadstead.gateway.ir import SessionPersistence
from roadstead.gateway.translate.problem import Problem
from roadstead.gateway.translate.sessions import read_session


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"type": "Cookie"}, SessionPersistence("cookie", "roadstead-session")),
        ({"sessionName": "sticky", "absoluteTimeout": "1h"}, SessionPersistence("cookie", "sticky", 3600)),
        ({"type": "Header", "sessionName": "x-session"}, SessionPersistence("header", "x-session")),
    ],
)
def test_sessions(stated: Object, expected: SessionPersistence) -> None:
    assert read_session({"sessionPersistence": stated}, "spec.rules[0]") == expected


def test_none() -> None:
    assert read_session({}, "spec.rules[0]") is None


@pytest.mark.parametrize(
    "wrong", [{"type": "Magic"}, {"sessionName": "a b"}, {"absoluteTimeout": "x"}, {"idleTimeout": "1m"}]
)
def test_what_cannot_be_had_is_told(wrong: Object) -> None:
    found = read_session({"sessionPersistence": wrong}, "spec.rules[0]")
    assert isinstance(found, Problem)
    assert found.message.startswith("spec.rules[0].sessionPersistence.")

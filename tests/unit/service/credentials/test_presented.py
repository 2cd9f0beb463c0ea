import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.presented import Malformed, NamePassword, Token, presented


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(("metadata", "found"), [
    ([], None),
    ([("user-agent", "x"), ("env", "canary")], None),
    ([("username", "alice"), ("password", "w")], NamePassword("alice", "w")),
    ([("authorization", basic("alice:w:x"))], NamePassword("alice", "w:x")),
    ([("authorization", "bAsIc " + basic("ä:ö")[6:])], NamePassword("ä", "ö")),
    ([("authorization", "Bearer t.o.k")], Token("t.o.k")),
    ([("authorization", "bearer   t")], Token("t")),
])  # fmt: skip
def test_credentials_are_found(metadata, found):
    assert presented(metadata) == found


@pytest.mark.parametrize(("metadata", "problem"), [
    ([("username", "alice")], "'username' without 'password'"),
    ([("password", "w")], "'password' without 'username'"),
    ([("username", ""), ("password", "w")], "metadata 'username' is empty"),
    ([("username", "a"), ("password", "")], "metadata 'password' is empty"),
    ([("username", "a"), ("username", "b"), ("password", "w")], "metadata 'username' is there more than once"),
    ([("username", "a"), ("password", b"\xff")], "metadata 'password' is binary"),
    ([("username", "a" * 300), ("password", "w")], "the name is longer than 256 characters"),
    ([("username", "a"), ("password", "w" * 9000)], "metadata 'password' is longer than 8192 characters"),
    ([("authorization", "Bearer")], "'authorization' has the scheme bearer and nothing after it"),
    ([("authorization", "Basic ")], "'authorization' has the scheme basic and nothing after it"),
    ([("authorization", "Digest x")], "'authorization' has neither the scheme basic nor bearer"),
    ([("authorization", "Basic !!")], "'authorization' basic is not base64 of UTF-8"),
    ([("authorization", "Basic /w==")], "'authorization' basic is not base64 of UTF-8"),
    ([("authorization", "Basic ä")], "'authorization' basic is not base64 of UTF-8"),
    ([("authorization", basic("alice"))], "'authorization' basic is not name:password"),
    ([("authorization", basic(":w"))], "'authorization' basic is not name:password"),
    ([("authorization", basic("a:w")), ("username", "a")], "both 'authorization' and 'username' or 'password'"),
])  # fmt: skip
def test_odd_credentials_are_named_without_their_values(metadata, problem):
    assert presented(metadata) == Malformed(problem)


_KEYS = st.sampled_from(["username", "password", "authorization", "other"])
_VALUES = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=10),
    st.text(max_size=20).map(lambda text: "Basic " + text),
    st.binary(max_size=20).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
    st.text(max_size=20).map(lambda text: "Bearer " + text),
)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=6))
def test_whatever_a_stranger_sends_has_an_answer(metadata):
    assert isinstance(presented(metadata), NamePassword | Token | Malformed | None)


@given(st.text(min_size=1, max_size=256), st.text(min_size=1, max_size=256))
def test_a_name_and_a_password_arrive_as_they_were_sent(name, secret):
    assert presented([("username", name), ("password", secret)]) == NamePassword(name, secret)


def test_secrets_do_not_show():
    assert "w0nd3r" not in repr(NamePassword("alice", "w0nd3r")) + repr(Token("w0nd3r"))

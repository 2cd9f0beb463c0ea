import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.apiserver.cel import CelSyntaxError
from roadstead.apiserver.cel.syntax import Node, parse


def test_operators_bind_as_in_c():
    a, b, c = (Node("name", name) for name in "abc")
    assert parse("a || b && c") == Node("binary", "||", (a, Node("binary", "&&", (b, c))))
    assert parse("a - b - c") == Node("binary", "-", (Node("binary", "-", (a, b)), c))
    assert parse("!a.b") == Node("unary", "!", (Node("select", "b", (a,)),))
    assert parse("a ? b : c") == Node("if", None, (a, b, c))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("5u", 5), ("0x1F", 31), ("1.5", 1.5), ("1e3", 1000.0), ("'a\\n'", "a\n"), ('"q\'q"', "q'q"),
        (r"r'\d'", r"\d"), ('"""a"b"""', 'a"b'), ("b'x'", b"x"), ("true", True), ("null", None),
    ],
)  # fmt: skip
def test_literals(text, value):
    assert parse(text) == Node("literal", value)


@pytest.mark.parametrize("text", ["", "a +", "a b", "(a", "[a", "a.", "a.5", "#", "'a", "a ? b", "{a}", "(" * 500])
def test_what_is_not_cel(text):
    with pytest.raises(CelSyntaxError):
        parse(text)


@settings(max_examples=200)
@given(st.text("ab.()[]{}'\"+-!&|?:,0 =<", max_size=15))
def test_any_text_is_parsed_or_refused(text):
    try:
        parse(text)
    except CelSyntaxError:
        return

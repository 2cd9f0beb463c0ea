import pytest

from roadstead.apiserver.cel import CelSyntaxError, compile_rule
from roadstead.apiserver.cel.literals import number, string


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'\x41\u0042\U00000043\104'", "ABCD"), (r"'\`\?\a'", "`?\a"), (r"b'\xff\377é'", b"\xff\xff\xc3\xa9"),
        (r"rb'\x'", rb"\x"), (r"R'\'", "\\"), ("'''a'b'''", "a'b"), ('"\'"', "'"),
    ],
)  # fmt: skip
def test_texts(text, value):
    assert string(text) == value


@pytest.mark.parametrize("text", [r"'\q'", r"'\ud800'", r"'\U00110000'", r"b'\u0041'", r"'\x4'", r"'\477'"])
def test_what_is_no_text(text):
    with pytest.raises(CelSyntaxError, match="is no literal"):
        compile_rule(text)


def test_numbers_have_64_bits():
    assert number("18446744073709551615u") == 2**64 - 1
    assert compile_rule("-9223372036854775808")() == -(2**63)
    for text in ("9223372036854775809", "18446744073709551616u", "0x10000000000000000"):
        with pytest.raises(CelSyntaxError, match="invalid int literal"):
            compile_rule(text)

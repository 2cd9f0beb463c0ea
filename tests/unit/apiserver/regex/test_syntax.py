"""RE2's syntax: what is read, and what is refused in Go's words."""

import pytest

from roadstead.apiserver.regex import PatternError, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^\d+\s\w+$", "12 ab", "a b"),
        (r"^[^\d]+$", "abc", "a1"),
        (r"^[[:alpha:]_]+$", "ab_", "a1"),
        (r"^[[:^space:]]+$", "ab", "a b"),
        (r"^\p{Lu}\pL*$", "Ärger", "ärger"),
        (r"^\P{Lu}+$", "abc", "aBc"),
        (r"^\Qa.b*\E+$", "a.b**", "aXb*"),
        (r"^\x41\x{1F600}\101$", "A\U0001f600A", "AAA"),
        (r"^[a\-z\]]+$", "a-z]", "b"),
        (r"^[]a]+$", "]a", "b"),
        (r"^[a-]+$", "a-", "b"),
        (r"(?i)^straße$", "STRAßE", "STRASSE"),
        (r"^a(?i)b(?-i)c$", "aBc", "aBC"),
        (r"^(?i:a)b$", "Ab", "AB"),
        (r"^(?P<name>a)(?<other>b)$", "ab", "a"),
        (r"^a{2,3}$", "aaa", "aaaa"),
        (r"^a{2,}$", "aaaa", "a"),
        (r"^a{2}?$", "aa", "a"),
        (r"^a{,2}$", "a{,2}", "aa"),
        (r"^x{y$", "x{y", "xy"),
        (r"(?s)^a.b$", "a\nb", "a\n\nb"),
        (r"^a.b$", "axb", "a\nb"),
        (r"(?m)^b$", "a\nb\nc", "ab"),
        (r"\bword\b", "a word.", "swords"),
        (r"\Bord", "word", "ord"),
        (r"\Aa\z", "a", "ba"),
        (r"^(a|b|)c$", "c", "dc"),
        (r"^$", "", "a"),
        ("", "anything", None),
        (r"^\/\.\-$", "/.-", "a"),
        (r"^\t\n$", "\t\n", "tn"),
    ],
)
def test_patterns(pattern: str, matching: str, other: str | None) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.search(matching)
    assert other is None or not compiled.search(other)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("a(b", "missing closing ): `a(b`"),
        ("a)b", "unexpected ): `a)b`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}", "invalid nested repetition operator"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:nothing:]]", "invalid character class range: `[:nothing:]`"),
        (r"\p{Nothing}", "invalid character class range"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax"),
        ("(?<=a)", "invalid or unsupported Perl syntax"),
        ("(?>a)", "invalid or unsupported Perl syntax"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\c", r"invalid escape sequence: `\c`"),
        (r"\x{FFFFFFFF}", "invalid escape sequence"),
        ("a\\", "trailing backslash at end of expression"),
        ("(?P<>a)", "invalid named capture"),
        ("(" * 500 + ")" * 500, "expression nests too deeply"),
        ("((a{100}){100}){100}", "expression too large"),
    ],
)
def test_what_is_no_pattern(pattern: str, problem: str) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert str(refused.value).startswith("error parsing regexp: ")
    assert problem in str(refused.value)

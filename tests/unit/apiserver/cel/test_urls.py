import pytest

from roadstead.apiserver.cel import CelError, NoOverload, compile_rule


def part(name, text):
    return compile_rule(f"url(self).{name}()")(self=text)


@pytest.mark.parametrize(
    ("text", "host", "name", "port"),
    [
        ("https://user:secret@a.example:8443/b", "a.example:8443", "a.example", "8443"),
        ("https://[2001:db8::1]:80/", "[2001:db8::1]:80", "2001:db8::1", "80"),
        ("http://a.example:/", "a.example:", "a.example", ""),
        ("mailto:a@b.example", "", "", ""),
        ("/path", "", "", ""),
    ],
)
def test_hosts_and_ports(text, host, name, port):
    assert (part("getHost", text), part("getHostname", text), part("getPort", text)) == (host, name, port)


def test_a_fragment_is_part_of_neither_path_nor_query():
    assert part("getEscapedPath", "https://a.example/b#c?d=e") == "/b"
    assert part("getQuery", "https://a.example/b?c=d#e=f") == {"c": ["d"]}


def test_parameters_that_are_malformed_are_left_out():
    assert part("getQuery", "https://a.example/?a=%zz&b;c=1&d=x+y&d&&e=%41") == {"d": ["x y", ""], "e": ["A"]}


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "../a", "://a", "http://a:b/", "http://a b/", "http://[::1", "http://[10.0.0.1]/", "http://a/%zz",
        "a\n:b", "http://a:1:2/", "http://a^b@c/", "http://a/#%zz", "1a://b",
    ],
)  # fmt: skip
def test_what_is_no_url(text):
    assert compile_rule("isURL(self)")(self=text) is False
    with pytest.raises(CelError, match="URL parse error"):
        part("getHost", text)


def test_texts_have_no_parts():
    with pytest.raises(NoOverload):
        compile_rule("self.getHost()")(self="https://a.example/")

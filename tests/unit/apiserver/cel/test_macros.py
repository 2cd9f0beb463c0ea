import pytest

from roadstead.apiserver.cel import CelError, CelSyntaxError, NoOverload, compile_rule

PORTS = [{"name": "web", "port": 80}, {"name": "dns", "port": 53}]


def evaluate(text, value=PORTS):
    return compile_rule(text)(self=value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.sortBy(p, p.port).map(p, p.name)", ["dns", "web"]),
        ("self.all(i, p, p.port > i)", True),
        ("self.exists(i, p, i == 1 && p.name == 'dns')", True),
        ("self.existsOne(i, p, p.port == 80)", True),
        ("self.transformList(i, p, '%d %s'.format([i, p.name]))", ["0 web", "1 dns"]),
        ("self.transformMapEntry(i, p, p.port > 60, {p.name: p.port})", {"web": 80}),
        ("self[0].transformMap(k, v, k == 'port', v + 1)", {"port": 81}),
        ("self[0].map(k, k)", ["name", "port"]),
    ],
)
def test_values(text, value):
    assert evaluate(text) == value


def test_an_error_counts_only_if_nothing_decides():
    assert evaluate("self.exists(i, p, p.protocol == 'UDP' || p.port == 53)") is True
    with pytest.raises(CelError, match="no such key"):
        evaluate("self.all(i, p, p.protocol != 'UDP')")


def test_a_key_is_made_only_once():
    with pytest.raises(CelError, match="already exists"):
        evaluate("self.transformMapEntry(i, p, {'a': i})")


@pytest.mark.parametrize("text", ["self.all(i, true)", "self.transformMapEntry(i, p, p)"])
def test_what_has_no_entries(text):
    with pytest.raises(NoOverload):
        evaluate(text, "text" if "all" in text else [1])


@pytest.mark.parametrize(
    "text",
    [
        "self.all(p, p, true)",
        "self.map(p)",
        "self.transformList(p, p)",
        "self.all(1, p, true)",
        "self.existsOne(p, true)",
    ],
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(CelSyntaxError):
        compile_rule(text)

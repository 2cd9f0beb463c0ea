import pytest

from roadstead.apiserver.cel import CelError, CelSyntaxError, NoOverload, compile_rule

SELF = {
    "name": "web",
    "count": 3,
    "on": True,
    "list": [1, 2, 3],
    "items": [{"name": "a", "port": 80}, {"name": "b"}],
    "map": {"x": "1", "y": "2"},
    "namespace": "default",
    "a-b": 1,
    "empty": [],
}


def evaluate(text, old=None):
    return compile_rule(text)(self=SELF, oldSelf=old)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.count + 2 * 2", 7),
        ("7 / 2", 3), ("-7 / 2", -3), ("-7 % 2", -1), ("7.0 / 2.0", 3.5),
        ("self.name == 'web'", True), ("self.name != 'web'", False), ("self.on == 1", False), ("1 == 1.0", True),
        ("has(self.name)", True), ("has(self.nothing)", False), ("has(self.map.x)", True),
        ("self.__namespace__", "default"), ("self.a__dash__b", 1), ("self['name']", "web"), ("self.list[0]", 1),
        ("2 in self.list", True), ("'x' in self.map", True), ("'z' in self.map", False), ("'a' in ['a', 'b']", True),
        ("self.on ? 'yes' : 'no'", "yes"),
        ("size(self.list)", 3), ("self.list.size()", 3), ("size('héllo')", 5), ("self.map.size() == 2", True),
        ("self.list.all(i, i > 0)", True), ("self.list.exists(i, i > 2)", True), ("self.empty.all(i, i > 9)", True),
        ("self.list.exists_one(i, i == 2)", True), ("self.list.filter(i, i > 1)", [2, 3]),
        ("self.list.map(i, i * 2)", [2, 4, 6]), ("self.list.map(i, i > 1, i * 2)", [4, 6]),
        ("self.map.all(k, self.map[k] != '')", True),
        ("self.items.all(p, self.items.exists_one(q, p.name == q.name))", True),
        ("self.name.startsWith('w') && self.name.endsWith('b') && self.name.contains('e')", True),
        ("self.name.matches('^w.b$')", True), ("matches('a', 'b')", False),
        ("duration('1h30m') > duration('5400s')", False), ("duration('1.5s') == duration('1500ms')", True),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')", True),
        ("quantity('1Gi').isGreaterThan(quantity('1M'))", True), ("isQuantity('abc')", False),
        ("'a,b'.split(',')", ["a", "b"]), ("['a', 'b'].join('-')", "a-b"), ("'Ab'.lowerAscii()", "ab"),
        ("'hello'.substring(1, 3)", "el"), ("'a.b'.replace('.', '-')", "a-b"), ("' a '.trim()", "a"),
        ("'hello'.indexOf('l')", 2), ("[3, 1].min()", 1), ("[1, 2].sum()", 3), ("[1, 2, 2].isSorted()", True),
        ("int('5') + 1", 6), ("string(5)", "5"), ("string(true)", "true"), ("double('1.5')", 1.5),
        ("isIP('10.0.0.1')", True), ("cidr('10.0.0.0/8').containsIP('10.1.1.1')", True), ("ip('::1').family()", 6),
        ("{'a': 1}.a", 1), ("isURL('https://a/b')", True), ("isURL('b')", False),
        ("quantity('1500m').add(quantity('500m')).asInteger()", 2), ("quantity('1.5').isInteger()", False),
        ("quantity('1Ki').compareTo(quantity('1k'))", 1), ("quantity('3').sub(1).asApproximateFloat()", 2.0),
        ("1.0 / 0.0 > 1e300", True), ("-1.0 / 0.0 < -1e300", True), ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("// a comment\ntrue", True),
    ],
)  # fmt: skip
def test_values(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("false && self.nothing", False),
        ("self.nothing && false", False),
        ("true || self.nothing", True),
        ("self.nothing || true", True),
        ("self.items.exists(i, i.port == 80)", True),
        ("self.items.all(i, i.port == 81)", False),
    ],
)
def test_an_error_counts_only_where_it_matters(text, value):
    assert evaluate(text) is value


@pytest.mark.parametrize(
    "text",
    [
        "self.nothing", "self.name.deeper", "self.list[9]", "self.list[-1]", "self.map['z']", "1 / 0",
        "self.nothing || false", "self.items.all(i, i.port == 80)", "duration('soon')", "timestamp('now')",
        "quantity('x')", "'abc'.substring(2, 9)", "int('x')", "'a'.matches('(')",
    ],
)  # fmt: skip
def test_errors(text):
    with pytest.raises(CelError):
        evaluate(text)


@pytest.mark.parametrize(
    "text", ["1 + 'a'", "size(5)", "self.count.all(i, true)", "!5", "'a' < 1", "self.name && true"]
)
def test_types_that_do_not_fit(text):
    with pytest.raises(NoOverload):
        evaluate(text)


@pytest.mark.parametrize(
    "text",
    ["frobnicate(self)", "self.frobnicate()", "other", "self.list.all(1, true)", "has(self)", "self.list.all(i)"],
)
def test_what_is_not_understood_is_refused_when_it_is_compiled(text):
    with pytest.raises(CelSyntaxError):
        compile_rule(text)


def test_a_rule_knows_which_variables_it_looks_at():
    assert compile_rule("self == oldSelf").names == {"self", "oldSelf"}
    assert compile_rule("self.list.all(i, i > 0)").names >= {"self"}
    assert "oldSelf" not in compile_rule("self.list.all(i, i > 0)").names

import pytest

from roadstead.apiserver.jsonpath import find

OBJECT = {
    "spec": {"a": 1, "list": [{"type": "A", "n": 1}, {"type": "B", "n": 2}], "odd.name": 3, "flags": {"x": True}},
    "metadata": {"annotations": {"example.com/a.b": "c"}},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        ("spec.a", [1]),
        ("{.spec.a}", [1]),
        (".spec.list[*].n", [1, 2]),
        (".spec.list[1].n", [2]),
        (".spec.list[-1].n", [2]),
        (".spec.list[5].n", []),
        ('.spec.list[?(@.type=="B")].n', [2]),
        (".spec.list[?(@.type=='A')].n", [1]),
        (".spec.list[?(@.n!=1)].type", ["B"]),
        (".spec.list[?(@.n==2)].type", ["B"]),
        (".spec.list[?(@.nothing)].n", []),
        (r".spec.odd\.name", [3]),
        (".spec['odd.name']", [3]),
        (r".metadata.annotations.example\.com/a\.b", ["c"]),
        (".spec.flags.*", [True]),
        (".spec.nothing.at.all", []),
        (".spec.a.b", []),
        (".spec[", []),
    ],
)
def test_paths(path, found):
    assert find(path, OBJECT) == found

import pytest

from roadstead.apiserver.cel.functions import METHODS, same


def test_true_is_not_one_but_numbers_are_numbers():
    assert not same(True, 1)
    assert same(1, 1.0)
    assert same([1], [1])
    assert not same("1", 1)


@pytest.mark.parametrize(("limit", "parts"), [(-1, ["a", "b", "c"]), (0, []), (1, ["a.b.c"]), (2, ["a", "b.c"])])
def test_split_with_a_limit(limit, parts):
    assert METHODS["split"]("a.b.c", ".", limit) == parts


def test_sign_of_a_quantity():
    assert [METHODS["sign"](number) for number in (-5, 0, 5)] == [-1, 0, 1]

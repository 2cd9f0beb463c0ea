from hypothesis import given
from hypothesis import strategies as st

from roadstead.gateway.translate.ordered import Ordered


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 2))))
def test_it_is_a_dictionary_that_is_sorted(steps: list[tuple[str, int | None]]) -> None:
    ordered: Ordered[int] = Ordered()
    known: dict[str, int] = {}
    for name, value in steps:
        before = ordered.values
        changes = known.get(name) != value
        assert ordered.put(name, value) == changes
        known = {key: one for key, one in {**known, name: value}.items() if one is not None}
        assert ordered.values == tuple(known[key] for key in sorted(known))
        assert list(ordered) == sorted(known)
        assert (name in ordered, ordered.get(name)) == (value is not None, value)
        assert changes or ordered.values is before


def test_of_equals_the_first_stays() -> None:
    ordered: Ordered[tuple[str, ...]] = Ordered()
    first = ("x", "y")
    ordered.put("a", first)
    assert not ordered.put("a", tuple("xy"))
    assert ordered.get("a") is first

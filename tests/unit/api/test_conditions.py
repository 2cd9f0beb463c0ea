from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.api.conditions import condition, find_condition, is_true, merge_conditions


def test_a_condition_says_its_status_as_a_word():
    assert condition("Ready", True, "Fine") == {"type": "Ready", "status": "True", "reason": "Fine", "message": ""}
    assert condition("Ready", "Unknown", "?", "text", generation=3)["status"] == "Unknown"
    assert condition("Ready", False, "No", generation=3)["observedGeneration"] == 3


def test_the_time_moves_only_with_the_status():
    first = merge_conditions([], [condition("Ready", True, "A")], "t1")
    assert first[0]["lastTransitionTime"] == "t1"
    same = merge_conditions(first, [condition("Ready", True, "B", "other words")], "t2")
    assert (same[0]["lastTransitionTime"], same[0]["reason"]) == ("t1", "B")
    moved = merge_conditions(same, [condition("Ready", False, "C")], "t3")
    assert moved[0]["lastTransitionTime"] == "t3"


def test_others_stay_and_new_ones_come_last():
    current = [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]
    merged = merge_conditions(current, [condition("B", False, "x"), condition("C", True, "y")], "t")
    assert [entry["type"] for entry in merged] == ["A", "B", "C"]
    assert merged[0] is current[0]


def test_finding():
    conditions = [condition("A", True, "x"), condition("B", "Unknown", "x")]
    assert find_condition(conditions, "B")["status"] == "Unknown"
    assert find_condition(None, "A") is None
    assert is_true(conditions, "A")
    assert not is_true(conditions, "B")
    assert not is_true(None, "A")


CONDITIONS = st.lists(
    st.builds(condition, st.sampled_from("ABC"), st.booleans(), st.sampled_from("xy")),
    unique_by=lambda entry: entry["type"],
)


@settings(max_examples=100)
@given(CONDITIONS, CONDITIONS)
def test_writing_the_same_conditions_again_changes_nothing(before, wanted):
    current = merge_conditions([], before, "t0")
    once = merge_conditions(current, wanted, "t1")
    assert merge_conditions(once, wanted, "t2") == once

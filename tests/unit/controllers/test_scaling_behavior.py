"""How fast replicas may change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.controllers.scaling_behavior import Allowed, History, allowed, tolerances

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def spec(least: int = 1, most: int = 100, **behavior: dict) -> dict:
    return {"minReplicas": least, "maxReplicas": most, **({"behavior": behavior} if behavior else {})}


@pytest.mark.parametrize(
    ("current", "wanted", "result"),
    [
        (3, 3, Allowed(3)),
        (3, 5, Allowed(5)),
        (3, 9, Allowed(7, "ScaleUpLimit")),  # four more in 15 s, or twice as many: the larger
        (10, 30, Allowed(20, "ScaleUpLimit")),
        (90, 150, Allowed(100, "TooManyReplicas")),
        (5, 2, Allowed(2)),
        (5, 0, Allowed(1, "TooFewReplicas")),
    ],
)
def test_the_default_limits(current, wanted, result):
    assert allowed(spec(), current, wanted, History(), NOW) == result


def test_what_was_added_in_the_period_counts():
    history = History(changes=[(ago(10), 4)])
    assert allowed(spec(), 5, 20, history, NOW) == Allowed(5, "ScaleUpLimit")
    assert allowed(spec(), 5, 20, History(changes=[(ago(16), 4)]), NOW) == Allowed(10, "ScaleUpLimit")


def test_shrinking_waits_until_nothing_more_was_asked_for_in_five_minutes():
    history = History(recommendations=[(ago(290), 8), (ago(100), 5)])
    assert allowed(spec(), 10, 3, history, NOW) == Allowed(8, stabilized=True)
    history.forget(ago(200))
    assert allowed(spec(), 10, 3, history, NOW) == Allowed(5, stabilized=True)
    assert allowed(spec(), 10, 3, History(), NOW) == Allowed(3)


def test_growing_waits_if_it_is_told_to():
    steady = spec(scaleUp={"stabilizationWindowSeconds": 60})
    assert allowed(steady, 2, 6, History(recommendations=[(ago(30), 3)]), NOW) == Allowed(3, stabilized=True)


@pytest.mark.parametrize(
    ("rules", "result"),
    [
        ({"selectPolicy": "Disabled"}, Allowed(10, "ScaleDownLimit")),
        ({"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}, Allowed(8, "ScaleDownLimit")),
        ({"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]}, Allowed(5, "ScaleDownLimit")),
        (
            {
                "selectPolicy": "Min",
                "policies": [
                    {"type": "Pods", "value": 2, "periodSeconds": 60},
                    {"type": "Percent", "value": 50, "periodSeconds": 60},
                ],
            },
            Allowed(8, "ScaleDownLimit"),
        ),
    ],
)
def test_policies_of_the_manifest(rules, result):
    assert allowed(spec(scaleDown=rules), 10, 1, History(), NOW) == result


def test_tolerances_of_the_manifest():
    assert tolerances(spec()) == (0.1, 0.1)
    assert tolerances(spec(scaleUp={"tolerance": "50m"}, scaleDown={"tolerance": None})) == (0.05, 0.1)


moments = st.tuples(st.integers(0, 600).map(ago), st.integers(0, 40))


@given(st.integers(1, 40), st.integers(0, 60), st.lists(moments, max_size=6), st.lists(moments, max_size=3))
def test_the_bounds_hold_and_the_direction_is_the_wanted_one(current, wanted, recommendations, changes):
    result = allowed(spec(2, 30), current, wanted, History(recommendations, changes), NOW).replicas
    assert 2 <= result <= 30
    if 2 <= current <= 30:
        assert min(current, wanted) <= result <= max(current, wanted) or result in (2, 30)

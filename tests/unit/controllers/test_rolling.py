import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.controllers.rolling import (
    Limits,
    Part,
    limits_of,
    new_target,
    old_targets,
    proportional_targets,
)


def deployment(replicas, surge=None, unavailable=None, type_="RollingUpdate"):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"type": type_, "rollingUpdate": rolling}}}


@pytest.mark.parametrize(
    ("made", "limits"),
    [
        (deployment(4), Limits(4, 1, 1)),
        (deployment(3), Limits(3, 1, 0)),
        (deployment(10, "30%", "30%"), Limits(10, 3, 3)),
        (deployment(100, "7%", 0), Limits(100, 7, 0)),
        (deployment(3, 0, 0), Limits(3, 0, 1)),
        (deployment(3, 0, "10%"), Limits(3, 0, 1)),
        (deployment(2, 1, 9), Limits(2, 1, 2)),
        (deployment(0, 1, 0), Limits(0, 1, 0)),
        (deployment(None), Limits(1, 1, 0)),
        (deployment(3, "nonsense", 1), Limits(3, 0, 1)),
        (deployment(3, type_="Recreate"), Limits(3)),
    ],
)
def test_limits_are_read(made, limits):
    assert limits_of(made) == limits


@pytest.mark.parametrize(
    ("limits", "new", "olds", "target"),
    [
        (Limits(3, 1, 0), None, [], 3),
        (Limits(3, 1, 0), None, [3], 1),
        (Limits(3, 1, 0), 1, [3], 1),
        (Limits(3, 1, 0), 1, [2], 2),
        (Limits(3, 1, 0), 5, [], 3),
        (Limits(10, 3, 2), None, [5, 5], 3),
        (Limits(3, 0, 1), None, [5], 0),
    ],
)
def test_the_new_one_grows_into_the_room_there_is(limits, new, olds, target):
    part = None if new is None else Part("new", new)
    assert new_target(limits, part, [Part(str(size), size) for size in olds]) == target


@pytest.mark.parametrize(
    ("limits", "new", "olds", "targets"),
    [
        # Nothing may go until the new pod is available.
        (Limits(3, 1, 0), Part("n", 1, 0), [Part("o", 3, 3)], {}),
        (Limits(3, 1, 0), Part("n", 1, 1), [Part("o", 3, 3)], {"o": 2}),
        # What is not available can go first, oldest first, but no more than the surplus.
        (Limits(3, 1, 0), Part("n", 1, 1), [Part("a", 2, 1), Part("b", 1, 1)], {"a": 1}),
        (Limits(10, 0, 2), Part("n", 0, 0), [Part("o", 10, 10)], {"o": 8}),
        (Limits(10, 3, 2), Part("n", 3, 0), [Part("o", 10, 10)], {"o": 8}),
        (Limits(10, 0, 2), Part("n", 0, 0), [Part("o", 10, 7)], {"o": 8}),
        (Limits(3, 1, 1), Part("n", 3, 3), [Part("a", 1, 1), Part("b", 1, 0)], {"a": 0, "b": 0}),
    ],
)
def test_old_ones_shrink_as_far_as_availability_allows(limits, new, olds, targets):
    assert old_targets(limits, new, olds) == targets


@pytest.mark.parametrize(
    ("limits", "parts", "targets"),
    [
        # Scaled from 10 to 15 in the middle of a rollout (docs: proportional scaling).
        (Limits(15, 3, 2), [Part("old", 8, 8, 13), Part("new", 5, 0, 13)], {"old": 11, "new": 7}),
        (Limits(0, 1, 0), [Part("old", 3, 3, 4), Part("new", 1, 0, 4)], {"old": 0, "new": 0}),
        (Limits(5, 0, 1), [Part("old", 8, 8, 10), Part("new", 2, 2, 10)], {"old": 4, "new": 1}),
        (Limits(10, 0, 0), [Part("a", 5, 5, 10), Part("b", 5, 5, 10)], {"a": 5, "b": 5}),
    ],
)
def test_scaling_in_a_rollout_keeps_shares(limits, parts, targets):
    assert proportional_targets(limits, parts) == targets


sizes = st.integers(0, 12)


@given(st.builds(Limits, sizes, sizes, sizes), st.lists(st.tuples(sizes, sizes), min_size=1, max_size=5))
def test_scaling_gives_exactly_what_is_allowed_and_nothing_below_zero(limits, members):
    parts = [Part(str(number), size, size, most) for number, (size, most) in enumerate(members) if size]
    parts.sort(key=lambda part: -part.replicas)
    targets = proportional_targets(limits, parts)
    assert all(target >= 0 for target in targets.values())
    if parts and limits.replicas:
        assert sum(targets.values()) == limits.most


@st.composite
def rollouts(draw):
    replicas = draw(sizes)
    surge, unavailable = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    if surge == unavailable == 0:
        surge = 1
    limits = Limits(replicas, surge, min(unavailable, replicas))
    parts = []
    for number in range(draw(st.integers(1, 4))):
        size = draw(sizes)
        parts.append(Part(str(number), size, draw(st.integers(0, size))))
    return limits, parts[0], parts[1:]


@given(rollouts())
def test_one_step_never_takes_what_is_needed_and_never_gives_too_much(case):
    limits, new, olds = case
    target = new_target(limits, new, olds)
    assert target <= max(limits.replicas, 0) or target == new.replicas
    total = target + sum(old.replicas for old in olds)
    assert total <= max(limits.most, new.replicas + sum(old.replicas for old in olds))
    taken = old_targets(limits, new, olds)
    assert all(0 <= taken[old.name] < old.replicas for old in olds if old.name in taken)
    # Those that go first are the ones that are not available, so this many available pods remain at least.
    available = new.available + sum(min(old.available, taken.get(old.name, old.replicas)) for old in olds)
    before = new.available + sum(old.available for old in olds)
    assert available >= min(before, limits.fewest_available)

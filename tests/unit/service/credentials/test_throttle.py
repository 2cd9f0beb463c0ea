import pytest

from roadstead.service.credentials.throttle import Throttle


def test_a_burst_and_then_one_at_a_time():
    throttle = Throttle(burst=3, seconds_per_attempt=2)
    assert [throttle.charge("alice", 0) for _ in range(3)] == [0, 0, 0]
    assert throttle.charge("alice", 0) == 2
    assert throttle.charge("alice", 1.5) == 0.5
    assert throttle.charge("alice", 2) == 0
    assert throttle.charge("alice", 2) == 2


def test_others_are_not_slowed():
    throttle = Throttle(burst=1)
    assert throttle.charge("alice", 0) == 0
    assert throttle.charge("alice", 0) > 0
    assert throttle.charge("bob", 0) == 0


def test_who_is_right_pays_nothing():
    throttle = Throttle(burst=1)
    for moment in range(100):
        assert throttle.charge("alice", moment / 100) == 0
        throttle.refund("alice", moment / 100)


def test_a_refused_attempt_costs_nothing_more():
    throttle = Throttle(burst=1, seconds_per_attempt=2)
    throttle.charge("alice", 0)
    for _ in range(50):
        assert throttle.charge("alice", 1) == pytest.approx(1)
    assert throttle.charge("alice", 2) == 0


def test_it_remembers_only_so_many_names():
    throttle = Throttle(burst=1, capacity=10)
    for number in range(1000):
        throttle.charge(f"user-{number}", 0)
    assert len(throttle.touched) == 10


def test_what_was_touched_last_is_forgotten_last():
    throttle = Throttle(burst=2, capacity=3)
    for name in ("first", "second", "third", "first", "fourth"):
        throttle.charge(name, 0)
    assert list(throttle.touched) == ["third", "first", "fourth"]
    assert throttle.wait("first", 0) > 0

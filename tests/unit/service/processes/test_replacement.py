import pytest

from roadstead.service.processes.replacement import Seat, delay, is_hopeless


@pytest.mark.parametrize(("ended", "seconds"), [(0, 0), (1, 0), (2, 0.5), (3, 1), (4, 2), (7, 16), (8, 30), (500, 30)])
def test_delays(ended, seconds):
    assert delay(ended) == seconds


def test_the_first_to_end_is_replaced_at_once_and_later_ones_after_a_while():
    seat, dues = Seat(), []
    for start in (100, 101, 102, 103):
        seat.start(start)
        seat.serving = True
        seat.end(start + 0.5)
        dues.append(seat.due - start - 0.5)
    assert dues == [0, 0.5, 1, 2]
    assert not seat.running


def test_one_that_served_for_long_makes_a_fresh_beginning():
    seat = Seat(ended=6)
    seat.start(100)
    seat.serving = True
    seat.end(161)
    assert (seat.ended, seat.due) == (1, 161)


def test_one_that_never_served_does_not():
    seat = Seat(ended=6)
    seat.start(100)
    seat.end(1000)
    assert seat.due == 1016


@pytest.mark.parametrize(("ended_served", "other_serves", "hopeless"), [
    (False, False, True), (False, True, False), (True, False, False), (True, True, False),
])  # fmt: skip
def test_it_is_hopeless_if_none_serves_and_this_one_never_did(ended_served, other_serves, hopeless):
    ended, other = Seat(serving=ended_served), Seat(serving=other_serves)
    assert is_hopeless([ended, other], ended) is hopeless

from hypothesis import given
from hypothesis import strategies as st

from roadstead.service.credentials.guesses import Guesses


def test_five_guesses_and_then_one_every_twenty_seconds():
    guesses = Guesses()
    for _ in range(5):
        assert guesses.wait("alice", "here", 0) == 0
        guesses.charge("alice", "here", 0)
    assert guesses.wait("alice", "here", 0) == 20
    assert guesses.wait("alice", "there", 0) == guesses.wait("bob", "here", 0) == 0
    assert guesses.wait("alice", "here", 20) == 0


def test_who_is_right_has_guessed_at_nothing():
    guesses = Guesses()
    guesses.charge("alice", "here", 0)
    assert guesses.is_guessed_at("alice", 0)
    guesses.refund("alice", "here", 0)
    assert not guesses.is_guessed_at("alice", 0)


_MOVES = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans(), st.floats(0, 3))


@given(st.lists(_MOVES, max_size=60))
def test_a_name_that_nobody_guesses_at_keeps_nobody_waiting(moves):
    """The name alone is asked at every RPC, so it must never hide a client who has to wait."""
    guesses, now = Guesses(), 0.0
    for name, client, is_right, later in moves:
        now += later
        guesses.charge(name, client, now)
        if is_right:
            guesses.refund(name, client, now)
        for each in "ab":
            if not guesses.is_guessed_at(each, now):
                assert all(guesses.wait(each, who, now) == 0 for who in "xyz")

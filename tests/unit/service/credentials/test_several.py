from concurrent.futures import Future

import grpc
import pytest

from roadstead.service.credentials.presented import Token
from roadstead.service.credentials.several import FirstOf
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

ALICE = Identity("alice", "token")
AWAY = Refusal(grpc.StatusCode.UNAVAILABLE, "later")


class Fixed:
    def __init__(self, answer, later: bool = False) -> None:
        self.answer, self.later = answer, later

    def verify(self, claim):
        if not self.later:
            return self.answer
        future: Future = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        else:
            future.set_result(self.answer)
        return future


def verified(*verifiers):
    result = FirstOf(*verifiers).verify(Token("x"))
    return result.result(5) if isinstance(result, Future) else result


@pytest.mark.parametrize("first_later", [False, True])
@pytest.mark.parametrize("second_later", [False, True])
def test_the_first_that_knows_it(first_later, second_later):
    unknown = unauthenticated("a"), unauthenticated("b")
    assert verified(Fixed(ALICE, first_later), Fixed(unknown[0], second_later)) == ALICE
    assert verified(Fixed(unknown[0], first_later), Fixed(ALICE, second_later)) == ALICE
    assert verified(Fixed(unknown[0], first_later), Fixed(unknown[1], second_later)) == unauthenticated("a; b")
    assert verified(Fixed(AWAY, first_later), Fixed(unknown[0], second_later)) == AWAY, "it might know it later"


def test_none_at_all():
    assert verified() == unauthenticated("no verifier for tokens")


def test_a_fault_is_passed_on():
    with pytest.raises(OSError, match="disk"):
        verified(Fixed(unauthenticated("a"), later=True), Fixed(OSError("disk"), later=True))

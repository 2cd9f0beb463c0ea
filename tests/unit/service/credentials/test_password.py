import asyncio
import threading
from concurrent.futures import Future

import pytest

from roadstead.service import passwords as module
from roadstead.service.credentials.cache import VerifiedCache
from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.credentials.presented import NamePassword
from roadstead.service.credentials.throttle import Throttle
from roadstead.service.identity import Identity, Stranger, bearer
from roadstead.service.passwords import PasswordFile, PasswordRecord
from roadstead.service.refusal import Refusal, RpcError

ALICE = Identity(name="alice", proof="password")
RIGHT, WRONG = NamePassword("alice", "wonderland"), NamePassword("alice", "looking-glass")
STRANGER = NamePassword("mallory", "wonderland")


def users(**passwords: str) -> PasswordFile:
    """A file whose hashes `Hashing` knows: all of one cost."""
    return PasswordFile.of(PasswordRecord(name, f"$cost$salt${password}") for name, password in passwords.items())


class Hashing:
    """Stands in for the slow hash: counts, and waits at a closed gate. The last part of a hash is the password."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, stored: str, password: str) -> bool:
        self.seen.append((stored, password))
        assert self.gate.wait(10)
        return stored == f"$cost$salt${password}"


@pytest.fixture
def hashing(monkeypatch):
    hashing = Hashing()
    monkeypatch.setattr(module, "verify_password", hashing)
    return hashing


class Bed:
    def __init__(self, **settings) -> None:
        self.now = 0.0
        self.file = users(alice="wonderland", bob="builder")
        self.verifier = PasswordVerifier(lambda: self.file, clock=lambda: self.now, **settings)

    def verify(self, claim: NamePassword) -> Identity | Refusal:
        result = self.verifier.verify(claim)
        return result.result(10) if isinstance(result, Future) else result


@pytest.fixture
def bed(hashing):
    made = Bed()
    yield made
    made.verifier.close()


def code(result: Identity | Refusal) -> str:
    return result.code.name if isinstance(result, Refusal) else "OK"


def test_a_right_password_is_hashed_once_and_then_remembered(bed, hashing):
    assert [bed.verify(RIGHT) for _ in range(5)] == [ALICE] * 5
    assert len(hashing.seen) == 1
    assert bed.verifier.verify(RIGHT) == ALICE, "at once, without a future"


def test_a_remembered_password_is_hashed_again_after_its_lifetime(bed, hashing):
    bed.verify(RIGHT)
    bed.now = 121
    assert bed.verify(RIGHT) == ALICE
    assert len(hashing.seen) == 2


def test_wrong_passwords_and_strangers_get_the_same_answer_at_the_same_cost(bed, hashing):
    wrong, stranger = bed.verify(WRONG), bed.verify(STRANGER)
    assert (wrong.code, wrong.message) == (stranger.code, stranger.message)
    assert code(wrong) == "UNAUTHENTICATED"
    assert (wrong.reason, stranger.reason) == ("wrong password", "unknown user")
    assert len(hashing.seen) == 2


@pytest.mark.parametrize("password", ["wonderland", "builder"])
def test_a_stranger_who_guesses_the_record_he_is_compared_with_is_still_a_stranger(bed, hashing, password):
    assert code(bed.verify(NamePassword("mallory", password))) == "UNAUTHENTICATED"
    assert code(bed.verify(NamePassword("mallory", password))) == "UNAUTHENTICATED", "nor is he remembered"


def test_a_failure_is_not_remembered(bed, hashing):
    bed.verify(WRONG)
    bed.verify(WRONG)
    assert len(hashing.seen) == 2


def test_a_new_password_is_in_force_at_once(bed):
    assert bed.verify(RIGHT) == ALICE
    bed.file = users(alice="looking-glass")
    assert code(bed.verify(RIGHT)) == "UNAUTHENTICATED"
    assert bed.verify(WRONG) == ALICE


def test_a_user_who_was_taken_out_is_out_at_once(bed):
    assert bed.verify(RIGHT) == ALICE
    bed.file = users(bob="builder")
    assert code(bed.verify(RIGHT)) == "UNAUTHENTICATED"


def test_a_user_whose_record_has_another_name_now_is_out_at_once(bed):
    assert bed.verify(RIGHT) == ALICE
    bed.file = users(carol="wonderland")
    assert code(bed.verify(RIGHT)) == "UNAUTHENTICATED"


def test_equal_requests_share_one_calculation(bed, hashing):
    hashing.gate.clear()
    futures = [bed.verifier.verify(RIGHT) for _ in range(20)]
    hashing.gate.set()
    assert {future.result(10) for future in futures} == {ALICE}
    assert len(hashing.seen) == 1


def test_a_caller_who_goes_away_does_not_take_the_answer_from_the_others(bed, hashing):
    hashing.gate.clear()
    first, second = bed.verifier.verify(RIGHT), bed.verifier.verify(RIGHT)
    assert not first.cancel()
    hashing.gate.set()
    assert second.result(10) == ALICE


def test_guessing_is_slowed_for_that_name_alone(bed, hashing):
    answers = [code(bed.verify(NamePassword("alice", f"guess-{number}"))) for number in range(8)]
    assert answers == ["UNAUTHENTICATED"] * 5 + ["RESOURCE_EXHAUSTED"] * 3
    assert len(hashing.seen) == 5
    assert bed.verify(NamePassword("bob", "builder")).name == "bob"
    refusal = bed.verify(WRONG)
    assert refusal.retry_after == pytest.approx(2)
    bed.now = 2.0
    assert code(bed.verify(WRONG)) == "UNAUTHENTICATED"


def test_guesses_all_at_once_do_not_slip_through(bed, hashing):
    hashing.gate.clear()
    results = [bed.verifier.verify(NamePassword("alice", f"guess-{number}")) for number in range(50)]
    hashing.gate.set()
    assert sum(isinstance(result, Future) for result in results) == 5
    for result in results:
        if isinstance(result, Future):
            result.result(10)


def test_who_is_remembered_is_not_kept_out_by_somebody_who_guesses(bed):
    assert bed.verify(RIGHT) == ALICE
    for number in range(20):
        bed.verify(NamePassword("alice", f"guess-{number}"))
    assert bed.verify(RIGHT) == ALICE


@pytest.mark.parametrize("one_client_only", [True, False])
def test_one_who_guesses_at_a_name_is_not_told_of_its_right_password_either(bed, hashing, one_client_only):
    """It is known without calculation: he could try as many as the server answers, and would see which one is right."""

    def attempt(claim: NamePassword, client: str) -> str:
        found = bed.verifier.verify(claim, lambda: client)
        return code(found.result(10) if isinstance(found, Future) else found)

    assert attempt(RIGHT, "198.51.100.1") == "OK"
    for number in range(20):
        attempt(NamePassword("alice", f"guess-{number}"), "203.0.113.9")
        # Whose own throttle may be used up by other names.
        attempt(NamePassword(f"user-{number}", "x"), "203.0.113.9" if one_client_only else "203.0.113.10")
    assert attempt(RIGHT, "203.0.113.9") == "RESOURCE_EXHAUSTED"
    assert attempt(RIGHT, "198.51.100.1") == "OK", "she herself is not kept out"
    assert attempt(RIGHT, "203.0.113.10") == "OK"
    bed.now += 20.0
    assert attempt(RIGHT, "203.0.113.9") == "OK"


def test_a_full_queue_tells_no_more_of_a_name_that_is_guessed_at(hashing):
    bed = Bed(threads=1, queue=0)
    assert bed.verify(RIGHT) == ALICE
    hashing.gate.clear()
    busy = bed.verifier.verify(STRANGER)
    guesses = [NamePassword("alice", f"guess-{number}") for number in range(5)]
    codes = [code(bed.verifier.verify(each, lambda: "203.0.113.9")) for each in (*guesses, RIGHT)]
    assert codes == ["RESOURCE_EXHAUSTED"] * 6
    hashing.gate.set()
    busy.result(10)
    bed.verifier.close()


def test_the_queue_is_bounded(hashing):
    bed = Bed(threads=1, queue=2, throttle=Throttle(burst=100))
    hashing.gate.clear()
    results = [bed.verifier.verify(NamePassword(f"user-{number}", "x")) for number in range(5)]
    assert [isinstance(result, Future) for result in results] == [True, True, True, False, False]
    assert code(results[-1]) == "RESOURCE_EXHAUSTED"
    hashing.gate.set()
    assert [code(result.result(10)) for result in results[:3]] == ["UNAUTHENTICATED"] * 3
    assert bed.verify(RIGHT) == ALICE, "and empties again"
    bed.verifier.close()


def test_a_fault_of_the_hash_reaches_those_who_wait_and_nobody_after(bed, monkeypatch):
    def broken(stored: str, password: str) -> bool:
        raise OSError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(module, "verify_password", broken)
        with pytest.raises(OSError, match="out of memory"):
            bed.verify(RIGHT)
    assert bed.verify(RIGHT) == ALICE


def guess(bed, number: int, client: str) -> str:
    found = bed.verifier.verify(NamePassword(f"user-{number}", "x"), lambda: client)
    return code(found.result(10) if isinstance(found, Future) else found)


def test_one_who_tries_many_names_is_slowed_and_others_are_not(bed):
    codes = [guess(bed, number, "203.0.113.9") for number in range(40)]
    assert codes == ["UNAUTHENTICATED"] * 30 + ["RESOURCE_EXHAUSTED"] * 10
    assert guess(bed, 41, "198.51.100.1") == "UNAUTHENTICATED"
    assert bed.verifier.verify(RIGHT, lambda: "198.51.100.1").result(10).name == "alice"
    bed.now += 0.5
    assert [guess(bed, number, "203.0.113.9") for number in range(50, 53)] == [
        "UNAUTHENTICATED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED",
    ]  # fmt: skip


def test_a_slowed_client_does_not_use_up_the_names_that_it_tries(bed):
    for number in range(30):
        guess(bed, number, "203.0.113.9")
    refused = [guess(bed, 0, "203.0.113.9") for _ in range(20)]
    assert set(refused) == {"RESOURCE_EXHAUSTED"}
    codes = [code(bed.verify(NamePassword("user-0", f"mistyped-{n}"))) for n in range(5)]
    assert codes == ["UNAUTHENTICATED"] * 4 + ["RESOURCE_EXHAUSTED"]


def test_a_locked_name_costs_the_client_nothing(bed):
    for number in range(60):
        bed.verifier.verify(NamePassword("alice", f"guess-{number}"), lambda: "203.0.113.9")
    assert guess(bed, 1, "203.0.113.9") == "UNAUTHENTICATED"


def test_right_ones_cost_the_client_nothing_and_are_remembered(hashing):
    bed = Bed(clients=Throttle(burst=2, seconds_per_attempt=1e9))
    for _ in range(5):
        assert bed.verifier.verify(RIGHT, lambda: "203.0.113.9").result(10) == ALICE
        assert bed.verifier.verify(RIGHT, lambda: "203.0.113.9") == ALICE
        bed.now += 1000.0
    assert guess(bed, 1, "203.0.113.9") == "UNAUTHENTICATED"
    bed.verifier.close()


def test_a_login_counts_for_the_client_that_is_being_handled(bed):
    async def attempts() -> list[str]:
        bearer.set(Stranger(client="203.0.113.9"))
        codes = []
        for number in range(32):
            try:
                await bed.verifier.identify(f"user-{number}", "x")
            except RpcError as error:
                codes.append(error.code.name)
        bearer.set(Stranger(client="198.51.100.1"))
        assert (await bed.verifier.identify("alice", "wonderland")).name == "alice"
        return codes

    assert asyncio.run(attempts()) == ["UNAUTHENTICATED"] * 30 + ["RESOURCE_EXHAUSTED"] * 2


def ask(bed: Bed, claim: NamePassword, client: str) -> str:
    found = bed.verifier.verify(claim, lambda: client)
    return code(found.result(10) if isinstance(found, Future) else found)


def test_one_client_who_guesses_all_the_time_keeps_nobody_else_out(hashing):
    """Somebody with an old password that he tries again and again is such a one, too."""
    bed = Bed(cache=VerifiedCache(lifetime=0.0))
    refused_in_a_row = longest = 0
    for tick in range(1, 2400):
        bed.now = tick * 0.05
        ask(bed, WRONG, "203.0.113.9")
        if tick % 40 == 0:
            refused_in_a_row = 0 if ask(bed, RIGHT, "198.51.100.1") == "OK" else refused_in_a_row + 1
            longest = max(longest, refused_in_a_row)
    bed.verifier.close()
    assert longest <= 1, "at most for the time in which an attempt comes back"


def test_who_has_no_attempts_left_cannot_make_room_for_more_by_names_that_he_makes_up(bed):
    assert ask(bed, RIGHT, "198.51.100.1") == "OK"
    for number in range(5):
        ask(bed, NamePassword("alice", f"guess-{number}"), "203.0.113.9")
    answers = {ask(bed, NamePassword(f"name-{number}", "x"), "203.0.113.9") for number in range(12_000)}
    assert answers == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    assert ask(bed, RIGHT, "203.0.113.9") == "RESOURCE_EXHAUSTED", "he is not told that this is the right one"
    assert ask(bed, RIGHT, "198.51.100.1") == "OK"

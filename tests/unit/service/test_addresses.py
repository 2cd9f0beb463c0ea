"""When a name counts as changed: it has an address that it had not before, and not too often."""

import asyncio
import socket

import pytest

from roadstead.service.addresses import Addresses, Name, name_in


@pytest.mark.parametrize(("target", "name"), [
    ("users:50051", ("users", 50051)),
    ("users.shop.svc.cluster.local:50051", ("users.shop.svc.cluster.local", 50051)),
    ("users", ("users", 443)),
    ("dns:///users:50051", ("users", 50051)),
    ("dns:users:50051", ("users", 50051)),
    ("localhost:1", ("localhost", 1)),
    ("dns://10.96.0.10/users:50051", None),
    ("xds:///users:50051", None),
    ("unix:/run/users.sock", None),
    ("unix:///run/users.sock", None),
    ("ipv4:10.0.0.1:50051", None),
    ("10.0.0.1:50051", None),
    ("[::1]:50051", None),
    ("[fe80::1%eth0]:50051", None),
    ("users:grpc", None),
    ("", None),
    (":50051", None),
])  # fmt: skip
def test_what_of_a_target_is_looked_up(target, name):
    assert name_in(target) == (name and Name(*name))


class Bed:
    """Addresses with a clock and answers that a test sets; an exception is raised."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.answer: object = frozenset()
        self.looks = 0
        self.addresses = Addresses(Name("users", 1), self._lookup, clock=lambda: self.now)

    async def _lookup(self, host: str, port: int) -> frozenset[str]:
        assert (host, port) == ("users", 1)
        self.looks += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def after(self, seconds: float, answer: "str | Exception") -> int:
        """Return the number some time later, when the name has these addresses."""
        self.now += seconds
        self.answer = frozenset(answer.split()) if isinstance(answer, str) else answer
        asyncio.run(self._look())
        return self.addresses()

    async def _look(self) -> None:
        self.addresses()
        for _ in range(5):
            await asyncio.sleep(0)


NOBODY = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
TROUBLE = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize(("answers", "numbers"), [
    (["a", "a", "a b", "a b"], [0, 0, 1, 1]),                    # a pod more
    (["a b", "a", "a"], [0, 0, 0]),                              # one less: grpc hears of it
    (["a", "", "a"], [0, 0, 1]),                                 # gone, and back
    ([NOBODY, "a", "a"], [0, 1, 1]),                             # not there yet
    (["a b", NOBODY, "b"], [0, 0, 1]),                           # scaled to nothing, and back
    (["a b", TROUBLE, "a b"], [0, 0, 0]),                        # nobody answers: that says nothing of pods
    ([TROUBLE, "a"], [0, 1]),                                    # nor is it known what grpc has heard
    ([UnicodeError("label too long"), "a"], [0, 1]),
    (["a", "b", "c"], [0, 1, 2]),                                # a rolling update
])  # fmt: skip
def test_only_what_is_new_counts(answers, numbers):
    bed = Bed()
    assert [bed.after(60, answer) for answer in answers] == numbers


def test_a_name_is_looked_up_when_calls_are_made_and_seldom():
    bed = Bed()
    for _ in range(100):
        bed.after(0.1, "a")
    assert bed.looks == 2


def test_addresses_that_take_turns_are_followed_less_and_less():
    """As those of a balancer's name, of which every answer tells a few: nothing is gained by new connections."""
    bed = Bed()
    numbers = [bed.after(5, f"10.0.0.{count % 50}") for count in range(720)]
    assert 12 < numbers[-1] < 22, "in an hour"
    bed.after(400, "10.0.0.1")
    for _ in range(100):
        last = bed.after(10, "10.0.0.1")
    assert bed.after(5, "10.0.0.1 10.0.0.2") == last + 1
    assert bed.after(6, "10.0.0.1 10.0.0.2 10.0.0.3") == last + 2, "news after a quiet time are taken up soon"


def test_what_comes_too_soon_is_taken_up_later():
    bed = Bed()
    assert [bed.after(60, "a"), bed.after(60, "a b")] == [0, 1]
    assert [bed.after(5, "a b c"), bed.after(5, "a b c d"), bed.after(5, "a b c d e")] == [2, 2, 3]


def test_nothing_is_looked_up_after_the_end():
    bed = Bed()
    bed.addresses.close()
    bed.after(60, "a")
    assert bed.looks == 0


def test_without_a_loop_nothing_is_looked_up():
    bed = Bed()
    assert bed.addresses() == 0
    assert bed.looks == 0

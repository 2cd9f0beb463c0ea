"""Whose turn it is to start."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from roadstead.node import start_queue
from roadstead.node.start_queue import LONGEST_START, StartGate, StartQueue


def queue(places: int, *pods: str) -> StartQueue:
    """Return a queue of pods named OWNER-NUMBER."""
    made = StartQueue(places)
    for pod in pods:
        made.ask(pod, pod.split("-")[0])
    return made


def test_as_many_start_as_there_are_places():
    waiting = queue(2, "a-1", "b-1", "c-1")
    assert waiting.admit(0.0) == ["a-1", "b-1"]
    assert waiting.admit(0.1) == []
    waiting.leave("b-1")
    assert waiting.admit(0.2) == ["c-1"]
    assert not waiting.waiting


def test_the_first_pod_of_each_owner_goes_before_the_second_of_any():
    waiting = queue(1, "a-1", "a-2", "a-3", "b-1", "b-2", "c-1")
    order = []
    while waiting.waiting:
        (pod,) = waiting.admit(0.0)
        order.append(pod)
        waiting.leave(pod)
    assert order == ["a-1", "b-1", "c-1", "a-2", "b-2", "a-3"]


def test_a_higher_priority_goes_before_everything():
    waiting = queue(1, "a-1", "b-1")
    waiting.ask("gateway-1", "gateway", 2_000_000_000)
    assert waiting.admit(0.0) == ["gateway-1"]


def test_a_start_that_takes_long_holds_nobody_up():
    waiting = queue(1, "a-1", "b-1")
    assert waiting.admit(0.0) == ["a-1"]
    assert waiting.admit(LONGEST_START - 0.01) == []
    assert waiting.admit(LONGEST_START) == ["b-1"]


def test_on_an_idle_machine_one_more_starts():
    waiting = queue(1, "a-1", "b-1", "c-1")
    assert waiting.admit(0.0, idle=True) == ["a-1"]
    assert waiting.admit(0.05, idle=True) == ["b-1"]
    assert waiting.admit(0.1) == []


def test_whoever_leaves_while_it_waits_is_never_admitted():
    waiting = queue(1, "a-1", "b-1")
    waiting.leave("a-1")
    assert waiting.admit(0.0) == ["b-1"]


@given(st.integers(1, 4), st.lists(st.sampled_from("abc"), max_size=20), st.data())
def test_everybody_gets_a_turn_and_never_too_many_at_once(places: int, owners: list[str], data: st.DataObject):
    waiting, starting, admitted = StartQueue(places), set[str](), []
    for number, owner in enumerate(owners):
        waiting.ask(f"{owner}-{number}", owner)
    while waiting.waiting or starting:
        new = waiting.admit(0.0)
        admitted += new
        starting |= set(new)
        assert len(starting) <= places
        done = data.draw(st.sampled_from(sorted(starting)))
        starting.discard(done)
        waiting.leave(done)
    assert sorted(admitted) == sorted(f"{owner}-{number}" for number, owner in enumerate(owners))


def test_pods_that_never_get_ready_do_not_stop_the_gate(monkeypatch):
    monkeypatch.setattr(start_queue, "_busy_seconds", lambda: 0.0)  # a machine that is idle all the time

    async def scenario() -> list[int]:
        gate, order, done = StartGate(), [], asyncio.Event()

        def admitted(number: int) -> None:
            order.append(number)
            if len(order) == 20:
                done.set()

        for number in range(20):
            gate.ask(str(number), "one", 0, lambda number=number: admitted(number))
        async with asyncio.timeout(10):
            await done.wait()
        return order

    assert asyncio.run(scenario()) == list(range(20))

"""Does a text hold a match? Answered in one pass, whatever the pattern: the states of an automaton, made as needed.

A pattern becomes a program of few kinds of steps (Thompson's construction); a state is the set of the steps at which
the program may be (https://swtch.com/~rsc/regexp/regexp1.html). Every pair of state and character is worked out once.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from roadstead.apiserver.regex.syntax import Assertion, Characters, Choice, Node, PatternError, Repeat, Sequence, parse

_LARGEST_PROGRAM = 10_000
_MOST_REMEMBERED = 100_000
"""How many steps the states that are kept may have in all."""
_MOST_WORK = 300_000
"""How many steps one search may look at: about a second, which only a large pattern on a large text takes."""
_WORD = Characters(((48, 57), (65, 90), (95, 95), (97, 122)))
_MATCHED = None
_UNKNOWN: Any = object()


class TooMuchWork(Exception):
    """A pattern is too large for a text that is too long."""


class _Split(NamedTuple):
    """Go on at any of these steps."""

    targets: tuple[int, ...]


class _Match(NamedTuple):
    """The text has a match."""


_Step = Characters | Assertion | _Split | _Match


class _State:
    """Where the program may be: at these steps, with this character before (empty at the start of the text)."""

    __slots__ = ("before", "following", "steps")

    def __init__(self, steps: frozenset[int], before: str) -> None:
        self.steps = steps
        self.before = before
        self.following: dict[str, _State | None] = {}


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Compile a pattern. Raises PatternError."""
        self.text = text
        self._steps: list[_Step] = []
        self._write(parse(text))
        self._steps.append(_Match())
        self._start = _State(frozenset({0}), "")
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._remembered = self._work = 0

    def search(self, text: str) -> bool:
        """Say whether the pattern matches anywhere in a text. Raises TooMuchWork."""
        state, self._work = self._start, 0
        for character in text:
            following = state.following.get(character, _UNKNOWN)
            if following is _UNKNOWN:
                following = self._after(state, character)
            if following is _MATCHED:
                return True
            state = following
        return self._after(state, "") is _MATCHED

    # Writing the program.

    def _write(self, node: Node) -> None:
        if isinstance(node, Characters | Assertion):
            self._append(node)
        elif isinstance(node, Sequence):
            for part in node.parts:
                self._write(part)
        elif isinstance(node, Choice):
            self._write_choice(node)
        else:
            self._write_repeat(node)

    def _append(self, step: _Step) -> int:
        if len(self._steps) >= _LARGEST_PROGRAM:
            raise PatternError("expression too large", self.text)
        self._steps.append(step)
        return len(self._steps) - 1

    def _write_choice(self, choice: Choice) -> None:
        fork = self._append(_Split(()))
        starts: list[int] = []
        ends: list[int] = []
        for option in choice.options:
            starts.append(len(self._steps))
            self._write(option)
            ends.append(self._append(_Split(())))
        self._steps[fork] = _Split(tuple(starts))
        for end in ends:
            self._steps[end] = _Split((len(self._steps),))

    def _write_repeat(self, repeat: Repeat) -> None:
        for _ in range(repeat.least):
            self._write(repeat.part)
        if repeat.most is None:
            fork = self._append(_Split(()))
            self._write(repeat.part)
            self._append(_Split((fork,)))
            self._steps[fork] = _Split((fork + 1, len(self._steps)))
            return
        forks: list[int] = []
        for _ in range(repeat.most - repeat.least):
            forks.append(self._append(_Split(())))
            self._write(repeat.part)
        for fork in forks:
            self._steps[fork] = _Split((fork + 1, len(self._steps)))

    # Running it.

    def _after(self, state: _State, character: str) -> _State | None:
        """Return the state after a character, `""` being the end of the text, or that there is a match before it."""
        if character in state.following:
            return state.following[character]
        reached = set(self._reached(state, character))
        self._work += len(reached)
        if self._work > _MOST_WORK:
            raise TooMuchWork("the pattern is too large for so long a text")
        following: _State | None = _MATCHED
        if not any(isinstance(self._steps[at], _Match) for at in reached):
            ahead = frozenset(at + 1 for at in reached if self._takes(at, character))
            following = self._state(ahead | {0}, _kind(character))  # a match may begin anywhere
        state.following[character] = following
        self._remembered += 1
        return following

    def _state(self, steps: frozenset[int], before: str) -> _State:
        if self._remembered > _MOST_REMEMBERED:
            self._remembered = 0
            self._states.clear()
            self._start = _State(frozenset({0}), "")
        if (steps, before) not in self._states:
            self._remembered += len(steps)
            self._states[steps, before] = _State(steps, before)
        return self._states[steps, before]

    def _takes(self, at: int, character: str) -> bool:
        step = self._steps[at]
        return isinstance(step, Characters) and character != "" and step.has(character)

    def _reached(self, state: _State, character: str) -> Iterator[int]:
        """Yield the steps that can be reached before the next character is taken."""
        pending, seen = list(state.steps), set(state.steps)
        while pending:
            at = pending.pop()
            yield at
            for target in self._onward(at, state.before, character):
                if target not in seen:
                    seen.add(target)
                    pending.append(target)

    def _onward(self, at: int, before: str, after: str) -> tuple[int, ...]:
        step = self._steps[at]
        if isinstance(step, _Split):
            return step.targets
        if isinstance(step, Assertion) and _holds(step.kind, before, after):
            return (at + 1,)
        return ()


def _kind(character: str) -> str:
    """Return a character that stands for all to which assertions make no difference, so that there are few states."""
    return "\n" if character == "\n" else "w" if _is_word(character) else " "


def _is_word(character: str) -> bool:
    return character != "" and _WORD.has(character)


def _holds(kind: str, before: str, after: str) -> bool:
    if kind == "start":
        return before == ""
    if kind == "end":
        return after == ""
    if kind == "line-start":
        return before in ("", "\n")
    if kind == "line-end":
        return after in ("", "\n")
    return (_is_word(before) != _is_word(after)) is (kind == "boundary")

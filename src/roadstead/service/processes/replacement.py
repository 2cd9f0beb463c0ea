"""When is a process that ended replaced? Pure: time is an argument.

The first time at once, then after a while that doubles, so that one which cannot live does not eat the machine. If it
ended before it ever served while no other serves, it is not: whatever is wrong (a broken policy, a taken port) is
wrong for all, and Kubernetes shows a pod that ends, with its log, better than one that tries for ever.
"""

import msgspec

_FIRST = 0.5
_LONGEST = 30.0
# A process that served so long has proved that it can live; its earlier ends are forgotten.
_PROVED = 60.0


class Seat(msgspec.Struct):
    """One process of several, and those that sat here before it."""

    started: float = 0.0
    serving: bool = False
    running: bool = False
    # How many ended in a row, none of which had served for long.
    ended: int = 0
    # When the next one is to be started, if none is running.
    due: float = 0.0

    def start(self, now: float) -> None:
        """Take note that a process was started."""
        self.started, self.serving, self.running = now, False, True

    def end(self, now: float) -> None:
        """Take note that it ended, and decide when it is replaced."""
        lived = self.serving and now - self.started >= _PROVED
        self.ended = 1 if lived else self.ended + 1
        self.due = now + delay(self.ended)
        self.serving = self.running = False


def delay(ended: int) -> float:
    """Return for how many seconds nobody sits where `ended` processes ended in a row."""
    return 0.0 if ended <= 1 else min(_LONGEST, _FIRST * 2.0 ** (ended - 2))


def is_hopeless(seats: list[Seat], ended: Seat) -> bool:
    """Tell whether all should end, since this one is about to end before it served and no other serves."""
    return not ended.serving and not any(seat.serving for seat in seats)

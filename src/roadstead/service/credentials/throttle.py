"""Not too often: a bucket of attempts per name that time refills. It makes guessing slow.

Pure: time is an argument. An attempt is paid for before it is checked and paid back if it was right, so that a burst
of concurrent guesses cannot slip through.
"""


class Throttle:
    """Token buckets by name: `burst` attempts at once, then one every `seconds_per_attempt`.

    It remembers `capacity` names; a new one pushes out the oldest.
    """

    def __init__(self, burst: int = 5, seconds_per_attempt: float = 2.0, capacity: int = 10_000) -> None:
        self._burst = float(burst)
        self._rate = 1.0 / seconds_per_attempt
        self._capacity = capacity
        # Of each name that anything was taken from: what was left, and when.
        self.touched: dict[str, tuple[float, float]] = {}

    def charge(self, name: str, now: float) -> float:
        """Take one attempt. Return 0.0, or the seconds until there will be one (and nothing was taken)."""
        if wait := self.wait(name, now):
            return wait
        self._put(name, self._level(name, now) - 1.0, now)
        return 0.0

    def wait(self, name: str, now: float) -> float:
        """Return 0.0 if there is an attempt to take, or the seconds until there will be one."""
        level = self._level(name, now)
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate

    def is_full(self, name: str, now: float) -> bool:
        """Tell whether nothing was taken lately, or all of it has been paid back."""
        return name not in self.touched or self._level(name, now) >= self._burst

    def refund(self, name: str, now: float) -> None:
        """Pay an attempt back: it was right."""
        level = min(self._burst, self._level(name, now) + 1.0)
        if level >= self._burst:
            self.touched.pop(name, None)
        else:
            self._put(name, level, now)

    def _level(self, name: str, now: float) -> float:
        level, then = self.touched.get(name, (self._burst, now))
        return min(self._burst, level + (now - then) * self._rate)

    def _put(self, name: str, level: float, now: float) -> None:
        # At the end: what was touched last is forgotten last.
        self.touched.pop(name, None)
        if len(self.touched) >= self._capacity:
            del self.touched[next(iter(self.touched))]
        self.touched[name] = (level, now)

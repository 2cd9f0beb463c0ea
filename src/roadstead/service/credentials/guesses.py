"""Who has guessed at whose password: for each client and name so many attempts, whether they were looked into or not.

The throttles of names and of clients bound what is calculated. But a password that was proved a moment ago is known
without calculation: somebody could try the user's likely passwords as fast as the server answers, and would hear of the
right one. So whoever has used up his attempts at a name hears nothing more about it, not even of the right password;
the user himself, from elsewhere, is not kept out. Pure: time is an argument.
"""

from roadstead.service.credentials.throttle import Throttle


class Guesses:
    """Attempts by client and name: `burst` at once, then one every `seconds_per_attempt`. Right ones are paid back.

    That is a tenth of what a name has for all clients together: one of them alone must not use it up.
    """

    def __init__(self, burst: int = 5, seconds_per_attempt: float = 20.0) -> None:
        self._pairs = Throttle(burst, seconds_per_attempt)
        # As much again for the name alone: as long as this is full, so are all pairs of it.
        self._names = Throttle(burst, seconds_per_attempt)

    def charge(self, name: str, client: str, now: float) -> None:
        """Note an attempt."""
        self._names.charge(name, now)
        self._pairs.charge(_pair(name, client), now)

    def refund(self, name: str, client: str, now: float) -> None:
        """Forget an attempt: it was right."""
        self._names.refund(name, now)
        self._pairs.refund(_pair(name, client), now)

    def is_guessed_at(self, name: str, now: float) -> bool:
        """Tell whether anybody has attempts at this name that were not right; costs next to nothing."""
        return name in self._names.touched and not self._names.is_full(name, now)

    def wait(self, name: str, client: str, now: float) -> float:
        """Return 0.0, or the seconds until this client hears of this name again."""
        return self._pairs.wait(_pair(name, client), now)


def _pair(name: str, client: str) -> str:
    return f"{client} {name}"

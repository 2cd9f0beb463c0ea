"""How long does a proof hold? Ends streams when the credential that they began with expires.

A stream is checked when it begins and may then live for hours; without this stage, for as long as it likes. In threads
the end comes with the next message, since nothing can interrupt a thread.
"""

import time
from collections.abc import Callable

from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import unauthenticated

_EXPIRED = unauthenticated("the credential expired", "the credentials have expired", "CREDENTIALS_EXPIRED")


class Expiry(Stage):
    """Ends a stream when its credential has been expired for `skew` seconds. Comes after `Authentication`."""

    def __init__(self, skew: float = 30.0, clock: Callable[[], float] = time.time) -> None:
        self._skew = skew
        self._clock = clock

    def enter(self, call: Call) -> Admission:
        """Limit a stream's time to that of its credential."""
        if call.streams and call.identity is not None and call.identity.expires is not None:
            call.limit(max(0.0, call.identity.expires + self._skew - self._clock()), _EXPIRED)
        return None

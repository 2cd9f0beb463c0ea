"""Ends RPCs of a threaded server whose time is over while their thread waits for the peer.

Nothing can interrupt such a thread, and grpc sends a status only for the thread that serves the call: so the call is
cancelled, and its caller is told CANCELLED. One thread looks after all of them, as long as there are any.
"""

import threading
import time

from roadstead.service.interceptors.stage import Call

# How often it is looked, in seconds: a limit of time is kept this exactly.
_PERIOD = 0.1


class Watch:
    """Looks after the calls whose threads wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: set[Call] = set()
        self._started = False

    def begin(self, call: Call) -> None:
        """Cancel the call when its time limit is over, unless it stops waiting before."""
        with self._changed:
            self._waiting.add(call)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="overdue", daemon=True).start()
            elif len(self._waiting) == 1:
                self._changed.notify()

    def end(self, call: Call) -> None:
        """Take note that a call does not wait any more."""
        with self._changed:
            self._waiting.discard(call)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                # Within the lock: a call that does not wait any more has a better answer to give.
                for call in [each for each in self._waiting if is_overdue(each)]:
                    self._waiting.discard(call)
                    _cut_off(call)
            time.sleep(_PERIOD)


def _cut_off(call: Call) -> None:
    call.reason = call.limit_refusal.reason or call.limit_refusal.message
    call.is_cut_off = True
    call.context.cancel()


def is_overdue(call: Call) -> bool:
    """Tell whether a call's time limit is over."""
    return call.time_limit is not None and time.monotonic() - call.started > call.time_limit

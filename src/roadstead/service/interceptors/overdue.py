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
    """Looks after the calls whose threads wait.

    Nothing is locked, since `begin` and `end` belong to every message: one operation of a set is whole by itself. If a
    call stops waiting just when it is cut off, its time is over all the same.
    """

    def __init__(self) -> None:
        self._waiting: set[Call] = set()
        self._looking = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, call: Call) -> None:
        """Cancel the call when its time limit is over, unless it stops waiting before."""
        self._waiting.add(call)
        if not self._looking.is_set():
            self._look()

    def end(self, call: Call) -> None:
        """Take note that a call does not wait any more."""
        self._waiting.discard(call)

    def _look(self) -> None:
        with self._start:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="overdue", daemon=True)
                self._thread.start()
        self._looking.set()

    def _run(self) -> None:
        while True:
            self._looking.wait()
            for call in self._waiting.copy():
                if is_overdue(call):
                    self._waiting.discard(call)
                    _cut_off(call)
            if not self._waiting:
                self._looking.clear()
                if self._waiting:
                    self._looking.set()  # one that began in between, and saw that somebody looks
            time.sleep(_PERIOD)


def _cut_off(call: Call) -> None:
    context = call.context
    if context is None:
        return  # it has ended by itself
    call.reason = call.limit_refusal.reason or call.limit_refusal.message
    call.is_cut_off = True
    context.cancel()


def is_overdue(call: Call) -> bool:
    """Tell whether a call's time limit is over."""
    return time.monotonic() > call.ends_at

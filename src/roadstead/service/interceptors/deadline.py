"""How long may it take? A default for clients that set no deadline, and a cap for those that set a distant one.

The default is for unary methods: a stream may rightly live for hours. The cap is for all. A deadline that has
passed already is refused before the handler starts work that nobody waits for.
"""

import math

import grpc

from roadstead.service.deadline import set_time_left
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal

# grpc reports "no deadline" as None, or as a number of centuries.
_NEVER = 10 * 365 * 86400.0


class Deadline(Stage):
    """Gives unary RPCs without a deadline `default` seconds, and no RPC more than `cap`. None means no limit.

    Raises ValueError for a time in which nothing can be done.
    """

    def __init__(self, default: float | None = None, cap: float | None = None) -> None:
        for name, seconds in (("default", default), ("cap", cap)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"Deadline: {name} must be more than 0 seconds, not {seconds}")
        self._default = default
        self._cap = cap

    def enter(self, call: Call) -> Admission:
        """Set `call.time_limit` where the client's own deadline is missing or too far away."""
        remaining = call.context.time_remaining()
        own = math.inf if remaining is None or remaining > _NEVER else remaining
        if own <= 0:
            return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline had passed", "deadline had passed")
        unlimited = own is math.inf and not call.streams
        wanted = self._default if unlimited and self._default is not None else own
        limit = min(wanted, self._cap if self._cap is not None else math.inf)
        set_time_left(None if limit is math.inf else limit)
        if limit < own:
            call.limit(limit)
        return None

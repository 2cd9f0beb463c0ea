"""The garbage collector of a process that starts with much that it keeps, and comes to keep more.

Modules, classes and schemas are most of a supervisor's objects at first, the cluster's objects later, and both live
long. Each full collection would walk through all of them, tens or hundreds of milliseconds in which nobody is served,
and find nothing. So a full collection that takes long is the last one that looks at what it has found alive. (What of
that is garbage later, in a circle, is never found: so this is not done at each collection.)
"""

import gc
import time

_YOUNG = 2_000  # objects between two looks at the youngest; with 700, the default, a decoded list of pods is several
_FULL = 2  # looks at the middle-aged between two at everything: often, so that not too much has come together
_LONG = 0.02

_started = 0.0


def postpone() -> None:
    """Collect nothing while a process starts."""
    gc.disable()


def resume() -> None:
    """Collect from now on, but leave alone what is there: to be called once a process has started."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, _FULL)
    if _watch not in gc.callbacks:
        gc.callbacks.append(_watch)
    gc.enable()


def _watch(phase: str, info: dict[str, int]) -> None:
    """After a full collection that took long, leave alone what it has found alive."""
    global _started
    if info["generation"] < 2:
        return
    if phase == "start":
        _started = time.perf_counter()
    elif time.perf_counter() - _started > _LONG:
        gc.freeze()

"""The garbage collector of a process that starts with much that it keeps.

Modules, classes and schemas are most of a supervisor's objects, and live as long as it does. Each full collection would
walk through all of them, tens of milliseconds in which nobody is served, and find nothing.
"""

import gc

_YOUNG = 5_000  # objects between two looks at the youngest; Python's default of 700 is one decoded list of pods


def postpone() -> None:
    """Collect nothing while a process starts."""
    gc.disable()


def resume() -> None:
    """Collect from now on, but leave alone what is there: to be called once a process has started."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    gc.enable()

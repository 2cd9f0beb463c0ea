"""What is there when a process has started is never looked at again, nor what takes long; the rest is collected."""

import subprocess
import sys

SCRIPT = """
import gc, weakref
from roadstead.lib import garbage

class Circle:
    def __init__(self): self.itself = self

garbage.postpone()
assert not gc.isenabled()
kept = [Circle() for _ in range(1000)]
garbage.resume()
assert gc.isenabled()
assert gc.get_freeze_count() > 1000
assert not any(isinstance(thing, Circle) for thing in gc.get_objects())
gone = weakref.ref(Circle())
for _ in range(10):
    [Circle() for _ in range(5_000)]
assert gone() is None

gc.disable()  # It is asked for below.
frozen, many = gc.get_freeze_count(), [[number] for number in range(600_000)]
gc.collect()
assert gc.get_freeze_count() >= frozen + len(many)
frozen, few = gc.get_freeze_count(), [[number] for number in range(100)]
gc.collect()
assert gc.get_freeze_count() == frozen
"""


def test_a_process_that_has_started() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)

"""Several server processes on one port: one process of Python uses one core, whatever the machine has.

    parent.py       starts the program once more for each process, replaces those that end, leaves with all of them
    replacement.py  when a process that ended is replaced, and when the whole program gives up; pure
    place.py        what a process knows of its place among the others
    shared_metrics.py  what all of them counted, in one place

Nothing is forked, since neither grpc nor most libraries survive that. `Server(processes=4).run()` in a program
starts that same program four times, as one would in a shell; each makes its own servicers, connections and threads, and
binds the port with SO_REUSEPORT, so that the kernel spreads connections over them. The parent serves nothing.
"""

from roadstead.service.processes.parent import supervise
from roadstead.service.processes.place import Place, place

__all__ = ["Place", "place", "supervise"]

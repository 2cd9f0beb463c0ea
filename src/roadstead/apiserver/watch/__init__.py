"""Watches: every write, told to whoever watches its resource.

`hub` listens to the store. It keeps those who want the same objects in the same form together (`audience`), so that an
event is matched and written once for all of them; `delivery` hands the lines out at a pace that leaves the loop to
others, and `watcher` keeps what a client is still to be sent, within bounds.
"""

from roadstead.apiserver.watch.hub import WatchHub, WatchStream

__all__ = ["WatchHub", "WatchStream"]

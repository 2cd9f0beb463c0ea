"""5. Pods run: plan(desired, running) -> commands; then processes, namespaces, mounts, probes and logs.

The seam to the supervisor:

    control = fork_netd(NetworkSettings(), folder)      # netd.py; before any thread and heavy import
    limitations = wait_ready(control)                   # netd_client.py; raises NetdUnavailable
    node = Node(client, NodeConfig(...), control)       # in the event loop
    await node.run(); await node.stop()
    node.kubelet                                        # logs, exec, attach, dial for the API server

`Node` and `NodeConfig` are imported when they are asked for: netd is forked from a process that has imported little.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadstead.node.node import Node, NodeConfig

__all__ = ["Node", "NodeConfig"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from roadstead.node import node

        return getattr(node, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

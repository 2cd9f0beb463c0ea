"""The supervisor's first instructions: `python -m roadstead.cluster FOLDER --report FD [--lifeline FD]`.

netd and the relay are forked before anything else: a process may enter a user namespace only while it has a single
thread, and what is not imported yet need not be copied. Next: `supervisor`.
"""

import argparse
import os
import sys
from pathlib import Path

import roadstead.lib.undrawn  # noqa: F401 (for what it does; it must be the first)
from roadstead.cluster import configuration as settings
from roadstead.cluster.children import Children, fork_children
from roadstead.cluster.layout import Layout, hold_lock
from roadstead.cluster.lifecycle import Report, write_report
from roadstead.lib import garbage


def main() -> int:
    """Run a cluster until it is told to stop; the exit code is 0 if it came up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--lifeline", type=int)
    options = parser.parse_args()
    os.set_inheritable(options.report, False)
    layout = Layout(options.folder)
    try:
        hold_lock(layout)
    except BlockingIOError:
        write_report(options.report, Report(error=f"another supervisor runs the cluster in {layout.root}"))
        return 1
    try:
        configuration = settings.read(layout.configuration)
        children = fork_children(configuration, layout)
    except Exception as error:  # noqa: BLE001 (whatever it is, the command that waits must hear it)
        write_report(options.report, Report(error=str(error)))
        return 1
    return _supervise(children, configuration, layout, options)


def _supervise(
    children: Children, configuration: settings.ClusterConfiguration, layout: Layout, options: argparse.Namespace
) -> int:
    # Imported here, after the fork: these are most of the program.
    garbage.postpone()
    from roadstead.cluster.supervisor import supervise

    return supervise(children, configuration, layout, report=options.report, lifeline=options.lifeline)


if __name__ == "__main__":
    sys.exit(main())

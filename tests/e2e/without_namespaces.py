"""Runs a command on a machine that has no user namespaces: `python without_namespaces.py COMMAND [ARGUMENT ...]`.

The limit on user namespaces is itself kept for each user namespace, so a process can set it to zero for itself and
what it starts; the machine and everybody else are not affected.
"""

import os
import sys
from pathlib import Path

from roadstead.node.network.namespaces import NEW_USER, unshare, write_id_maps

# Anybody but root, whom the kernel would let make other namespaces all the same.
ORDINARY = 1000

if __name__ == "__main__":
    user, group = os.geteuid(), os.getegid()
    unshare(NEW_USER)
    write_id_maps(f"{ORDINARY} {user} 1", f"{ORDINARY} {group} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.execvp(sys.argv[1], sys.argv[1:])

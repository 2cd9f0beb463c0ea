"""Importing this first keeps rich out of a process that draws nothing.

structlog imports rich, where it is installed, to draw tracebacks. That is a tenth of what a supervisor imports, and
some megabytes in each process that is forked from it; our logs are plain lines (`logs`).
"""

import sys

sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # None is how the import system says: there is no such

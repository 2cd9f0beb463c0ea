"""How people ask for it: one file per command, loaded only when it is asked for.

Output is for people; `-o json` is for programs. Errors go to stderr with a remedy. Exit codes: 0 done, 1 it failed
or something is not up, 2 the command or a file was wrong, 130 interrupted.
"""

import sys


def main() -> None:
    """Run the command line; the entry point `roadstead`."""
    # Imported here because an image with the base install has no click.
    try:
        from roadstead.cli.root import root
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("roadstead"):
            raise
        sys.exit(f"The command line needs {error.name}: install it with `pip install 'roadstead[cluster]'`.")
    root()

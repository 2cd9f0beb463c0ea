"""Can this pod open a TCP connection? `python -m client.probe HOST PORT` prints the answer; exit code 0 means yes.

For `kubectl exec` in any pod of the platform: shows what the NetworkPolicies let through.
"""

import argparse
import socket
import sys


def probe(host: str, port: int, timeout: float) -> tuple[bool, str]:
    """Return whether a connection was opened, and what the other side said or why not."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            said = connection.recv(256).decode(errors="replace").strip()
    except TimeoutError:
        return False, f"no answer within {timeout:g} s"
    except OSError as error:
        return False, str(error)
    return True, said


def main() -> None:
    parser = argparse.ArgumentParser(prog="client.probe", description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--timeout", type=float, default=1.0)
    arguments = parser.parse_args()
    opened, said = probe(arguments.host, arguments.port, arguments.timeout)
    print(f"{'open' if opened else 'closed'} {arguments.host}:{arguments.port} {said}")
    sys.exit(0 if opened else 1)


if __name__ == "__main__":
    main()

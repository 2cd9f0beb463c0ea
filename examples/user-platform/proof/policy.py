"""NetworkPolicy: who reaches the db pod, and what it can reach. Tried from inside pods, by kubectl exec."""

from report import Check, expect
from system import System

# Prints "open" when a TCP connection is made. What a policy drops is met with silence; where nothing listens, the
# machine refuses at once. So "timed out" shows that the policy decided.
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5).close()
    print("open")
except OSError as error:
    print("closed:", error)
"""
FRONTEND, DB, OTHER = "role=frontend", "role=db", "app.kubernetes.io/name=foo-svc"
WAREHOUSE, ELSEWHERE = "10.0.0.5", "10.0.1.5"


def dial(system: System, selector: str, address: str, port: int) -> str:
    """Connect from one pod with these labels; return "open" or why not."""
    return system.kube("exec", system.pod(selector), "--", "python", "-c", DIAL, address, str(port)).strip()


def db_address(system: System) -> str:
    return str(system.get("pod", system.pod(DB))["status"]["podIP"])


def frontend_reaches_db(system: System) -> str:
    seen = dial(system, FRONTEND, db_address(system), 6379)
    return expect(seen == "open", seen)


def others_do_not_reach_db(system: System) -> str:
    seen = dial(system, OTHER, db_address(system), 6379)
    return expect("timed out" in seen, seen)


def frontend_reaches_only_the_port(system: System) -> str:
    seen = dial(system, FRONTEND, db_address(system), 6380)
    return expect("timed out" in seen, seen)


def db_reaches_the_warehouse(system: System) -> str:
    seen = dial(system, DB, WAREHOUSE, 5978)
    return expect(seen == "open", seen)


def db_reaches_nothing_else(system: System) -> str:
    foo = str(system.get("pod", system.pod(OTHER))["status"]["podIP"])
    targets = [(WAREHOUSE, 5979), (ELSEWHERE, 5978), (foo, 50051)]
    seen = {f"{address}:{port}": dial(system, DB, address, port) for address, port in targets}
    silent = [target for target, verdict in seen.items() if "timed out" in verdict]
    return expect(len(silent) == len(targets), f"timed out: {', '.join(silent)}" if len(silent) == 3 else str(seen))


CHECKS = [
    Check("A role: frontend pod dials the db pod on 6379", "open", frontend_reaches_db),
    Check("Another pod of the namespace dials the db pod on 6379", "silence", others_do_not_reach_db),
    Check("A role: frontend pod dials the db pod on another port, 6380", "silence", frontend_reaches_only_the_port),
    Check(f"The db pod dials {WAREHOUSE}:5978, a machine outside the cluster", "open", db_reaches_the_warehouse),
    Check("The db pod dials another port, another machine, another pod", "silence every time", db_reaches_nothing_else),
]

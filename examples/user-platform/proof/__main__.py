"""Runs every check against a running system and says how each ended.

Usage: python -m proof --kubeconfig FILE --entries FILE [--kubectl FILE] [--authority FILE]
`--entries` is what `roadstead up --output json` printed.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

# Two checks provoke failed TLS handshakes; gRPC's core would write each to the terminal.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# The checks and the generated messages are found as they are by someone who runs this folder.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "proof"), str(ROOT)]

import edge  # noqa: E402 (after the path that finds it)
import healing  # noqa: E402
import identity  # noqa: E402
import policy  # noqa: E402
import report  # noqa: E402
import routing  # noqa: E402
from system import System  # noqa: E402

SUBJECTS = {
    "Routing: GRPCRoutes at the Gateway": routing.CHECKS,
    "Identity: who may call what": identity.CHECKS,
    "The edge: reflection, TLS, Ingress": edge.CHECKS,
    "NetworkPolicy: enforced in the kernel": policy.CHECKS,
    "Healing": healing.CHECKS,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=Path, required=True, help="what `roadstead up --output json` printed")
    parser.add_argument("--kubectl", type=Path, default=Path(sys.executable).parent / "kubectl")
    parser.add_argument("--authority", type=Path, default=ROOT / "certs" / "ca.crt", help="the CA that clients trust")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="SUBJECT", help="leave out, with its reason said"
    )
    options = parser.parse_args()
    up = json.loads(options.entries.read_text())
    kubectl = options.kubectl if options.kubectl.exists() else Path(shutil.which("kubectl") or "kubectl")
    system = System(Path(up["kubeconfig"]), kubectl, up["entries"], options.authority)
    results = []
    for subject, checks in SUBJECTS.items():
        print(f"\n\x1b[1m{subject}\x1b[0m", flush=True)
        if any(subject.startswith(skipped) for skipped in options.skip):
            print("  left out: this machine does not enforce it")
            continue
        for check in checks:
            results.append(report.run(check, system))
            print(report.line(results[-1]), flush=True)
    print(f"\n{report.summary(results)}")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The columns of `kubectl get`, kind by kind, as kubernetes pkg/printers/internalversion/printers.go has them.

A printer is the columns of a kind and a function from one object and the time to its cells. `wide` columns appear with
`-o wide` only. Kinds without a printer show their name and when they were created. Next: `tables` makes rows of cells.
"""

from roadstead.apiserver.printers.cells import Column, Printer
from roadstead.apiserver.printers.cluster import PRINTERS as CLUSTER
from roadstead.apiserver.printers.configuration import PRINTERS as CONFIGURATION
from roadstead.apiserver.printers.network import PRINTERS as NETWORK
from roadstead.apiserver.printers.pods import PRINTERS as PODS
from roadstead.apiserver.printers.workloads import PRINTERS as WORKLOADS

__all__ = ["PRINTERS", "Column", "Printer"]

PRINTERS: dict[tuple[str, str], Printer] = {**PODS, **WORKLOADS, **NETWORK, **CONFIGURATION, **CLUSTER}
"""Printers by API group and kind."""

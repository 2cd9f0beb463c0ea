"""IR becomes Envoy configuration, and reaches every Envoy as deltas.

`resources` says what is sent; `listeners`, `routes`, `clusters`, `endpoints` and `secrets` encode one kind each;
`snapshot` puts a proxy together; `session` is the conversation with one Envoy; `server` carries it over gRPC.
"""

from roadstead.gateway.xds.server import XdsServer
from roadstead.gateway.xds.snapshot import render

__all__ = ["XdsServer", "render"]

"""Roadstead runs gRPC systems that are described by Kubernetes manifests.

The packages stand in the order in which a manifest travels: `apiserver` takes it, `client` is the seam to any API
server, `controllers` decide what should exist, `gateway` turns routes into Envoy configuration, `node` runs pods,
and `service` is what the authors of services import. `cluster` starts them together; `cli` is how people ask for it.
"""

__version__ = "0.1.0"

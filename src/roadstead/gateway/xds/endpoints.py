"""EDS: who serves a Service port at the moment. The only kind that changes when pods come and go.

Endpoints that are not ready or about to go are not in the IR; Envoy lets the requests finish that an endpoint holds
when it disappears. Next: `secrets`.
"""

from typing import Any

from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from roadstead.gateway.ir import EndpointSet
from roadstead.gateway.xds.messages import socket_address


def load_assignment(endpoints: EndpointSet) -> Any:
    """Return the ClusterLoadAssignment of an endpoint set: one locality, every endpoint of equal weight."""
    members = [
        endpoint_components_pb2.LbEndpoint(
            endpoint=endpoint_components_pb2.Endpoint(address=socket_address(each.address, each.port))
        )
        for each in endpoints.endpoints
    ]
    groups = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=members)] if members else []
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=endpoints.name, endpoints=groups)

"""JSON over HTTP for gRPC services: Envoy turns a request into gRPC and routes it again, and turns the answer back.

The filter stands in the listeners of a proxy that has such a route, and is off but on the lines that ask.
"""

from typing import Any

from envoy.extensions.filters.http.grpc_json_transcoder.v3 import transcoder_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import extension, uint32

TRANSCODING_FILTER = "envoy.filters.http.grpc_json_transcoder"
LARGEST_BODY = 4 << 20


def transcoding_filter() -> Any:
    """Return the filter, off by default: it knows no service."""
    made = extension(
        manager.HttpFilter, TRANSCODING_FILTER, transcoder_pb2.GrpcJsonTranscoder(proto_descriptor_bin=b"")
    )
    made.disabled = True
    return made


def transcoder(source: ir.Transcoding) -> Any:
    """Return a line's setting for the filter. An error becomes JSON too (google.rpc.Status)."""
    made = transcoder_pb2.GrpcJsonTranscoder(
        proto_descriptor_bin=source.descriptors,
        services=source.services,
        auto_mapping=True,
        convert_grpc_status=True,
        max_request_body_size=uint32(LARGEST_BODY),
        max_response_body_size=uint32(LARGEST_BODY),
    )
    made.request_validation_options.reject_unknown_method = True
    made.request_validation_options.reject_unknown_query_parameters = True
    return made

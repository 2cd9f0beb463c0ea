"""Small pieces of protobuf that every encoder needs: packed extensions, durations, where ADS is.

Next: `listeners`, `routes`, `clusters`, `endpoints`, `secrets`, one encoder for each kind of resource.
"""

from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from google.protobuf import any_pb2, duration_pb2, json_format, wrappers_pb2

PARTS = 1_000_000
_LARGEST_DURATION = 315_576_000_000.0
_LARGEST_PORT = 65535
STREAMS_PER_CONNECTION = 16_384
STREAM_WINDOW = 1 << 20
CONNECTION_WINDOW = 4 << 20
_FRAMES_PER_STREAM = 4


def packed(message: Any) -> any_pb2.Any:
    """Return a message as `google.protobuf.Any`, equal for equal messages."""
    wrapped = any_pb2.Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def extension(message_type: Any, name: str, message: Any) -> Any:
    """Return an extension point's entry (`HttpFilter`, `TransportSocket`, ...): a name and a packed configuration."""
    return message_type(name=name, typed_config=packed(message))


def as_json(message: Any) -> dict[str, Any]:
    """Return a message as protobuf JSON with the field names of Envoy's documentation, in a settled order."""
    shown: dict[str, Any] = _ordered(json_format.MessageToDict(message, preserving_proto_field_name=True))
    return shown


def _ordered(value: Any) -> Any:
    """Sort keys, names first: protobuf's own order of map entries differs from run to run."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (key not in {"@type", "name"}, key))
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def ads() -> Any:
    """Say that a resource comes over the same stream."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )


def seconds(amount: float) -> duration_pb2.Duration:
    """Return a duration, exact to the microsecond; what protobuf cannot hold becomes the nearest that it can."""
    bounded = min(max(amount, 0.0), _LARGEST_DURATION) if amount == amount else 0.0
    whole, micros = divmod(round(bounded * 1e6), 10**6)
    return duration_pb2.Duration(seconds=whole, nanos=micros * 1000)


def uint32(amount: int) -> wrappers_pb2.UInt32Value:
    """Return an optional unsigned number, bounded to 32 bits."""
    return wrappers_pb2.UInt32Value(value=min(max(amount, 0), 0xFFFFFFFF))


def flag(value: bool) -> wrappers_pb2.BoolValue:
    """Return an optional truth value."""
    return wrappers_pb2.BoolValue(value=value)


def http2_options(streams: int = 0) -> Any:
    """Return what HTTP/2 connections may hold, on both sides of Envoy; `streams`: that a client may open at once.

    By default Envoy takes 10,000 frames, or 1,000 resets, that wait to be sent for an attack and closes the connection.
    As many streams as we allow may well end at once: each with headers, a message and trailers, or with a reset.
    """
    return protocol_pb2.Http2ProtocolOptions(
        max_concurrent_streams=uint32(streams) if streams else None,
        initial_stream_window_size=uint32(STREAM_WINDOW),
        initial_connection_window_size=uint32(CONNECTION_WINDOW),
        max_outbound_frames=uint32(_FRAMES_PER_STREAM * STREAMS_PER_CONNECTION),
        max_outbound_control_frames=uint32(STREAMS_PER_CONNECTION),
    )


def socket_address(address: str, port: int) -> Any:
    """Return an IP address and port; a port outside 16 bits becomes 65535, which Envoy can at least refuse by name."""
    bounded = min(max(port, 0), _LARGEST_PORT)
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=bounded))


def header_option(name: str, value: str, *, append: bool) -> Any:
    """Return a header edit; `%` begins a command in Envoy, so it is doubled."""
    actions = base_pb2.HeaderValueOption
    action = actions.APPEND_IF_EXISTS_OR_ADD if append else actions.OVERWRITE_IF_EXISTS_OR_ADD
    header = base_pb2.HeaderValue(key=name, value=value.replace("%", "%%"))
    return base_pb2.HeaderValueOption(header=header, append_action=action, keep_empty_value=True)

import math

import pytest
from envoy.config.route.v3 import route_components_pb2

from roadstead.gateway.xds.messages import as_json, header_option, packed, seconds, socket_address, uint32


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, (0, 0)),
        (1.5, (1, 500_000_000)),
        (0.000001, (0, 1000)),
        (1.9999999, (2, 0)),
        (-3, (0, 0)),
        (math.inf, (315_576_000_000, 0)),
        (math.nan, (0, 0)),
    ],
)
def test_seconds(amount, expected):
    duration = seconds(amount)
    assert (duration.seconds, duration.nanos) == expected


@pytest.mark.parametrize(("amount", "expected"), [(5, 5), (-1, 0), (2**40, 2**32 - 1)])
def test_uint32(amount, expected):
    assert uint32(amount).value == expected


@pytest.mark.parametrize(("port", "expected"), [(80, 80), (-1, 0), (99999, 65535)])
def test_socket_address(port, expected):
    address = socket_address("10.0.0.1", port).socket_address
    assert (address.address, address.port_value) == ("10.0.0.1", expected)


def test_a_percent_sign_in_a_header_is_no_command():
    option = header_option("x", "100 %REQ(y)%", append=True)
    assert option.header.value == "100 %%REQ(y)%%"
    assert option.append_action == option.APPEND_IF_EXISTS_OR_ADD
    assert header_option("x", "", append=False).append_action == option.OVERWRITE_IF_EXISTS_OR_ADD


def test_packed_messages_name_their_type():
    wrapped = packed(route_components_pb2.VirtualHost(name="v"))
    assert wrapped.type_url == "type.googleapis.com/envoy.config.route.v3.VirtualHost"


def test_json_is_in_a_settled_order_with_names_first():
    host = route_components_pb2.VirtualHost(name="v", domains=["*"])
    host.routes.add(name="r").match.prefix = "/"
    shown = as_json(host)
    assert list(shown) == ["name", "domains", "routes"]
    assert list(shown["routes"][0]) == ["name", "match"]

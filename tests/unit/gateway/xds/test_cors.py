"""CORS as Envoy gets it."""

from google.protobuf.json_format import MessageToDict

from roadstead.gateway import ir
from roadstead.gateway.xds.cors import cors_filter, cors_policy


def test_a_policy_says_everything_and_ends_foreign_preflights() -> None:
    cors = ir.Cors(("https://a\\.com",), ("GET", "PUT"), ("x-a", "x-b"), ("x-c",), 60, True)
    assert MessageToDict(cors_policy(cors), preserving_proto_field_name=True) == {
        "allow_origin_string_match": [{"safe_regex": {"regex": "https://a\\.com"}}],
        "allow_methods": "GET, PUT",
        "allow_headers": "x-a, x-b",
        "expose_headers": "x-c",
        "max_age": "60",
        "allow_credentials": True,
        "forward_not_matching_preflights": False,
    }


def test_credentials_are_allowed_only_where_that_is_said() -> None:
    assert not cors_policy(ir.Cors()).HasField("allow_credentials")


def test_the_filter_is_named_as_routes_name_it() -> None:
    assert cors_filter().name == "envoy.filters.http.cors"

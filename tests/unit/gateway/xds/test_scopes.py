"""How requests come to scopes, as far as it can be said without an Envoy; tests/e2e/test_envoy_hosts.py asks one."""

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager

from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.scopes import KEY, fit_scopes, look_up, scope
from roadstead.gateway.xds.tables import Scope
from roadstead.gateway.xds.web import WEB_FILTER, web_filter


def test_a_scope_leads_from_a_host_to_a_piece() -> None:
    made = scope(Scope("http", "foo.example.com", "http#17"))
    assert (made.name, made.route_configuration_name) == ("http/foo.example.com", "http#17")
    assert [one.string_key.partition("/")[2] for one in made.key.fragments] == ["foo.example.com"]


def test_tables_do_not_share_scopes() -> None:
    keys = {scope(Scope(table, "foo.example.com", table)).key.fragments[0].string_key for table in ("http", "https")}
    assert len(keys) == 2
    assert not any(":" in key for key in keys)


def test_what_runs_where_no_scope_is_found_is_switched_off_by_pieces() -> None:
    settings = manager.HttpConnectionManager(http_filters=[web_filter()])
    look_up(settings, "http")
    names = [one.name for one in settings.http_filters]
    assert names == ["roadstead.any_host", "roadstead.capitals", WEB_FILTER]
    assert not any(one.disabled for one in settings.http_filters)
    head = route_pb2.RouteConfiguration(name="http#17")
    fit_scopes(head)
    for name in names:
        off = route_components_pb2.FilterConfig()
        assert head.typed_per_filter_config[name].Unpack(off)
        assert off.disabled
    assert list(head.request_headers_to_remove) == [KEY]


def test_clients_cannot_choose_a_scope_themselves() -> None:
    settings = manager.HttpConnectionManager()
    look_up(settings, "http")
    (early,) = as_json(settings)["early_header_mutation_extensions"]
    (mutation,) = early["typed_config"]["mutations"]
    assert mutation["append"]["header"]["key"] == KEY
    assert mutation["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"

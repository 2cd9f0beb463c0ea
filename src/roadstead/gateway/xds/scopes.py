"""SRDS: how Envoy comes from a request to the piece of the route table that has its host.

    :authority ──▶ header KEY = TABLE/host ──▶ scope? ──yes──▶ piece of the table
                                                 └──no──▶ KEY = TABLE/* ──▶ the piece with wildcards and all the rest

The header is made before anything else looks at a request, over whatever a client may have sent under its name, and
taken off before the request is sent on. Where no scope is found, two filters run that every piece switches off: one
sets the key to `TABLE/*` and has the route looked up again (it is Envoy's filter that tags requests by address: all
addresses have this tag); the other one tries hosts with capital letters in lower case.
"""

from typing import Any

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.core.v3 import extension_pb2 as config_extension_pb2
from envoy.config.route.v3 import route_components_pb2, scoped_route_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.filters.http.ip_tagging.v3 import ip_tagging_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import regex_pb2

from roadstead.gateway.xds.messages import ads, extension, packed, uint32
from roadstead.gateway.xds.resources import digest
from roadstead.gateway.xds.tables import ANY, Scope
from roadstead.gateway.xds.transcoding import TRANSCODING_FILTER
from roadstead.gateway.xds.web import WEB_FILTER

KEY = "x-roadstead-key"
SCOPES = "hosts"
_ANY_HOST, _CAPITALS = "roadstead.any_host", "roadstead.capitals"
_BY_LINE = (WEB_FILTER, TRANSCODING_FILTER)
"""Filters that single lines switch on. Where no scope was found Envoy decides on them before the line is known: so they
are on, and each piece switches them off."""
_LOWER = """
function envoy_on_request(request)
  local headers = request:headers()
  local any = headers:get("KEY")
  headers:replace("KEY", "TABLE/" .. string.lower(headers:get(":authority")))
  request:clearRouteCache()
  request:metadata()
  local route = request:streamInfo():routeName()
  if route == nil or route == "" then
    headers:replace("KEY", any)
    request:clearRouteCache()
  end
end
"""


def scope(source: Scope) -> Any:
    """Return the ScopedRouteConfiguration message."""
    made = scoped_route_pb2.ScopedRouteConfiguration(name=source.name, route_configuration_name=source.piece)
    made.key.fragments.add(string_key=f"{_short(source.table)}/{source.domain}")
    return made


def look_up(settings: Any, table: str) -> None:
    """Have an HttpConnectionManager, complete otherwise, look up routes in the pieces of this table."""
    header = base_pb2.HeaderValue(key=KEY, value=f"{_short(table)}/%REQ(:AUTHORITY)%")
    settings.early_header_mutation_extensions.append(_early(header))
    routes = settings.scoped_routes
    routes.name = SCOPES
    part = routes.scope_key_builder.fragments.add().header_value_extractor
    part.name, part.element_separator, part.index = KEY, ":", 0  # What follows is the port.
    routes.rds_config_source.CopyFrom(ads())
    routes.scoped_rds.scoped_rds_config_source.CopyFrom(ads())
    for each in settings.http_filters:
        each.disabled = False
    filters = [_any_host(table), _capitals(table), *settings.http_filters]
    del settings.http_filters[:]
    settings.http_filters.extend(filters)


def fit_scopes(piece: Any) -> None:
    """Have a RouteConfiguration take the key off requests, and switch off what runs where no scope was found."""
    piece.request_headers_to_remove.append(KEY)
    for each in (_ANY_HOST, _CAPITALS, *_BY_LINE):
        piece.typed_per_filter_config[each].CopyFrom(_OFF)


def _short(table: str) -> str:
    """Return a short name for a table, without a colon: it is in a header of every request."""
    return digest(table.encode(errors="replace"))[:8]


def _early(header: Any) -> Any:
    edit = base_pb2.HeaderValueOption(
        header=header, append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )
    mutation = header_mutation_pb2.HeaderMutation(mutations=[mutation_rules_pb2.HeaderMutation(append=edit)])
    return extension(config_extension_pb2.TypedExtensionConfig, KEY, mutation)


def _any_host(table: str) -> Any:
    everywhere = [
        address_pb2.CidrRange(address_prefix="0.0.0.0", prefix_len=uint32(0)),
        address_pb2.CidrRange(address_prefix="::", prefix_len=uint32(0)),
    ]
    tag = ip_tagging_pb2.IPTagging.IPTag(ip_tag_name=f"{_short(table)}/{ANY}", ip_list=everywhere)
    tagging = ip_tagging_pb2.IPTagging(
        request_type=ip_tagging_pb2.IPTagging.BOTH,
        ip_tags=[tag],
        ip_tag_header=ip_tagging_pb2.IPTagging.IpTagHeader(
            header=KEY, action=ip_tagging_pb2.IPTagging.IpTagHeader.SANITIZE
        ),
    )
    return extension(manager.HttpFilter, _ANY_HOST, tagging)


def _capitals(table: str) -> Any:
    """Return a script for requests whose host has capital letters; it is skipped for all others."""
    script = lua_pb2.Lua()
    script.default_source_code.inline_string = _LOWER.replace("KEY", KEY).replace("TABLE", _short(table))
    guarded = extension_matcher_pb2.ExtensionWithMatcher()
    script_config = extension(config_extension_pb2.TypedExtensionConfig, "envoy.filters.http.lua", script)
    guarded.extension_config.CopyFrom(script_config)
    skipping = guarded.xds_matcher.matcher_list.matchers.add()
    host = http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=":authority")
    predicate = skipping.predicate.single_predicate
    predicate.input.CopyFrom(extension(extension_pb2.TypedExtensionConfig, "host", host))
    predicate.value_match.safe_regex.CopyFrom(
        regex_pb2.RegexMatcher(regex="[^A-Z]*", google_re2=regex_pb2.RegexMatcher.GoogleRE2())
    )
    skip = extension(extension_pb2.TypedExtensionConfig, "skip", skip_action_pb2.SkipFilter())
    skipping.on_match.action.CopyFrom(skip)
    return extension(manager.HttpFilter, _CAPITALS, guarded)


_OFF = packed(route_components_pb2.FilterConfig(disabled=True))

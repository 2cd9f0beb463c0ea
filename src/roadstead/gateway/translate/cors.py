"""The CORS filter of an HTTPRoute (httproute_types.go, HTTPCORSFilter): origins with wildcards become expressions."""

import re
from collections.abc import Mapping
from typing import Any

from roadstead.gateway.ir import Cors
from roadstead.gateway.translate.fields import integer, texts
from roadstead.gateway.translate.headers import is_header_name
from roadstead.gateway.translate.problem import Problem

ANY = "*"
ANY_ORIGIN = ".*"
_ORIGIN = re.compile(r"(https?)://([^\s/:]+)(?::(\d{1,5}))?")
_IMPLIED_PORTS = {"http": "80", "https": "443"}
_DEFAULT_MAX_AGE = 5


def read_cors(stated: Mapping[str, Any], field: str) -> Cors | Problem:
    """Return what a CORS filter says, or why it cannot be served."""
    origins = []
    for origin in texts(stated.get("allowOrigins")):
        expression = origin_expression(origin)
        if expression is None:
            return Problem("UnsupportedValue", f"{field}.allowOrigins: {origin!r} is not an origin like https://a.com")
        origins.append(expression)
    lists = [tuple(texts(stated.get(name))) for name in ("allowMethods", "allowHeaders", "exposeHeaders")]
    for name in (name for names in lists for name in names):
        if name != ANY and not is_header_name(name):
            return Problem("UnsupportedValue", f"{field}: {name!r} is not the name of a method or header")
    methods, headers, exposed = lists
    max_age = max(integer(stated.get("maxAge"), _DEFAULT_MAX_AGE), 0)
    return Cors(tuple(origins), methods, headers, exposed, max_age, stated.get("allowCredentials") is True)


def origin_expression(origin: str) -> str | None:
    """Return the RE2 expression of whole origins; browsers leave out the port that the scheme implies."""
    if origin == ANY:
        return ANY_ORIGIN
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        return None
    scheme, host, port = parts.groups()
    anything = "[^/:]*" if host == ANY else "[^/:]+"
    written = anything.join(re.escape(part) for part in host.split(ANY))
    explicit = f":{port}" if port and port != _IMPLIED_PORTS[scheme] else ""
    return f"{scheme}://{written}{explicit}"

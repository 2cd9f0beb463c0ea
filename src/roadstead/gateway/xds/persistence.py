"""Session persistence: a client stays with one endpoint, by a cookie or a header that Envoy hands out.

The filter stands in the listeners of a proxy that has such a route, and does nothing on the others.
"""

from typing import Any

from envoy.config.core.v3 import extension_pb2
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager
from envoy.extensions.http.stateful_session.cookie.v3 import cookie_pb2
from envoy.extensions.http.stateful_session.header.v3 import header_pb2
from envoy.type.http.v3 import cookie_pb2 as http_cookie_pb2

from roadstead.gateway import ir
from roadstead.gateway.xds.messages import extension, seconds

SESSION_FILTER = "envoy.filters.http.stateful_session"


def session_filter() -> Any:
    """Return the filter, off by default."""
    return extension(manager.HttpFilter, SESSION_FILTER, stateful_session_pb2.StatefulSession())


def persistent(session: ir.SessionPersistence) -> Any:
    """Return a route's setting for the filter."""
    state = extension(
        extension_pb2.TypedExtensionConfig,
        f"envoy.http.stateful_session.{session.kind}",
        _cookie(session) if session.kind == "cookie" else header_pb2.HeaderBasedSessionState(name=session.name),
    )
    return stateful_session_pb2.StatefulSessionPerRoute(
        stateful_session=stateful_session_pb2.StatefulSession(session_state=state)
    )


def _cookie(session: ir.SessionPersistence) -> Any:
    """Return the cookie; without a lifetime it ends with the browser's session."""
    cookie = http_cookie_pb2.Cookie(name=session.name, path=session.path)
    if session.lifetime > 0:
        cookie.ttl.CopyFrom(seconds(session.lifetime))
    return cookie_pb2.CookieBasedSessionState(cookie=cookie)

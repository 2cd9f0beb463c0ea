"""Session persistence of a rule (GEP-1619): a client stays with one endpoint by a cookie or a header."""

from collections.abc import Mapping
from typing import Any

from roadstead.gateway.ir import SessionPersistence
from roadstead.gateway.translate.durations import seconds
from roadstead.gateway.translate.fields import mapping, text
from roadstead.gateway.translate.headers import is_header_name
from roadstead.gateway.translate.problem import Problem

_DEFAULT_NAMES = {"Cookie": "roadstead-session", "Header": "x-roadstead-session"}


def read_session(rule: Mapping[str, Any], path: str) -> SessionPersistence | Problem | None:
    """Return a rule's `sessionPersistence`, None if it has none, or why it cannot be had."""
    stated = mapping(rule.get("sessionPersistence"))
    if not stated:
        return None
    field = f"{path}.sessionPersistence"
    kind = text(stated.get("type"), "Cookie")
    if kind not in _DEFAULT_NAMES:
        return Problem("UnsupportedValue", f"{field}.type: {kind} is not one of Cookie, Header")
    name = text(stated.get("sessionName")) or _DEFAULT_NAMES[kind]
    if not is_header_name(name):
        return Problem("UnsupportedValue", f"{field}.sessionName: {name!r} cannot be the name of a {kind.lower()}")
    if stated.get("idleTimeout") is not None:
        return Problem("UnsupportedValue", f"{field}.idleTimeout: Envoy cannot keep it; use absoluteTimeout")
    lifetime = seconds(text(stated.get("absoluteTimeout"), "0s"))
    if lifetime is None:
        wrong = stated.get("absoluteTimeout")
        return Problem("UnsupportedValue", f"{field}.absoluteTimeout: {wrong!r} is not a duration")
    return SessionPersistence("cookie" if kind == "Cookie" else "header", name, lifetime)

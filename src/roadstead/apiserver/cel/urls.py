"""URLs in CEL: `url(self.endpoint).getHost()`, after apiserver's pkg/cel/library/urls.go.

They are read as Go's net/url reads them, so that here and there the same texts are URLs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from roadstead.apiserver.cel.functions import CelError, NoOverload, expect, holds

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_USER = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"-]|[^\x00-\x7f]|%[89a-fA-F][0-9a-fA-F]|%25)*")
_PORT = re.compile(r"(?::[0-9]*)?")
_PATH_KEPT = "$&+,/:;=@-_.~"
"""What Go leaves as it is when it escapes a path."""
_PATH_AS_WRITTEN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%\[\]-]*")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL, taken apart."""

    text: str
    scheme: str
    host: str
    path: str
    query: str


def parse_url(text: Any) -> Url:
    """Return an absolute URL, or one that is an absolute path. Raises CelError for any other text."""
    _check(text)
    if text == "*":
        return Url(text, "", "", "*", "")
    # Once more without the fragment, which is part of a request's URI otherwise.
    bare, _, fragment = text.partition("#")
    _check_escapes(fragment)
    return _taken_apart(bare, text, of_request=False)


def _check(text: Any) -> None:
    """Raise CelError for a text that is not the URI of a request, which may be an absolute path."""
    if not expect(str, text):
        raise _refused("empty url")
    if _CONTROL.search(text):
        raise _refused("net/url: invalid control character in URL")
    if text != "*":
        _taken_apart(text, text, of_request=True)


def _refused(why: str) -> CelError:
    return CelError(f"URL parse error during conversion from string: {why}")


def _taken_apart(text: str, written: str, *, of_request: bool) -> Url:
    if text.startswith(":"):
        raise _refused("missing protocol scheme")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if not scheme:
            raise _refused("invalid URI for request")
        return Url(written, scheme, "", "", query)
    host = ""
    if rest.startswith("//") and (scheme or not (of_request or rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        host, rest = _host(scheme, authority), f"{slash}{path}"
    _check_escapes(rest)
    return Url(written, scheme, host, rest, query)


def _check_escapes(text: str) -> None:
    if _BAD_ESCAPE.search(text):
        raise _refused("invalid URL escape")


def _host(scheme: str, authority: str) -> str:
    user, _, host = authority.rpartition("@")
    if not _USER.fullmatch(user):
        raise _refused("net/url: invalid userinfo")
    _check_escapes(user)
    bracketed = host.startswith("[")
    if "[" in host[1:] or (bracketed and "]" not in host):
        raise _refused("invalid IP-literal")
    if not _HOST.fullmatch(host):
        raise _refused("invalid character in host name")
    port = host[host.rindex("]") + 1 :] if bracketed else _port_of(scheme, host)
    if not _PORT.fullmatch(port):
        raise _refused(f'invalid port "{port}" after host')
    host = unquote(host)
    if bracketed:
        _check_literal(host)
    return host


def _port_of(scheme: str, host: str) -> str:
    at = host.find(":") if scheme in ("http", "https") else host.rfind(":")
    return host[at:] if at >= 0 else ""


def _check_literal(host: str) -> None:
    try:
        IPv6Address(host[1 : host.rindex("]")])
    except ValueError as error:
        raise _refused("invalid IP-literal") from error


def _url(value: Any) -> Url:
    if not isinstance(value, Url):
        raise NoOverload
    return value


def _host_and_port(value: Any) -> tuple[str, str]:
    host = _url(value).host
    name, colon, port = host.rpartition(":")
    if not colon or not _PORT.fullmatch(f":{port}") or "]" in port:
        name, port = host, ""
    return (name[1:-1] if name.startswith("[") and name.endswith("]") else name), port


def _escaped_path(value: Any) -> str:
    path = _url(value).path
    if _PATH_AS_WRITTEN.fullmatch(path):
        return path
    return quote(unquote(path, errors="surrogateescape"), safe=_PATH_KEPT, errors="surrogateescape")


def _query(value: Any) -> dict[str, list[str]]:
    """Return the parameters of a URL; those that are malformed are left out, as in Go."""
    found: dict[str, list[str]] = {}
    for part in _url(value).query.split("&"):
        if part and ";" not in part and not _BAD_ESCAPE.search(part):
            name, _, text = part.partition("=")
            found.setdefault(unquote_plus(name), []).append(unquote_plus(text))
    return found


FUNCTIONS: dict[str, Callable[..., Any]] = {"isURL": holds(_check), "url": parse_url}
METHODS: dict[str, Callable[..., Any]] = {
    "getEscapedPath": _escaped_path,
    "getHost": lambda value: _url(value).host,
    "getHostname": lambda value: _host_and_port(value)[0],
    "getPort": lambda value: _host_and_port(value)[1],
    "getQuery": _query,
    "getScheme": lambda value: _url(value).scheme,
}

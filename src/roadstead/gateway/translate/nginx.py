"""The `nginx.ingress.kubernetes.io/*` annotations that are honoured, read as ingress-nginx 1.15 reads them.

A value that is not valid is as if it were not there, and somebody is told. Source: ingress-nginx,
internal/ingress/annotations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "nginx.ingress.kubernetes.io/"
_PROTOCOLS = ("HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS")
_HONOURED = frozenset(
    {
        "backend-protocol", "ssl-redirect", "force-ssl-redirect", "upstream-vhost", "proxy-read-timeout",
        "proxy-send-timeout", "canary", "canary-weight", "canary-weight-total", "canary-by-header",
        "canary-by-header-value", "canary-by-header-pattern", "canary-by-cookie",
    }
)  # fmt: skip
_WITHOUT_EFFECT = frozenset({"proxy-body-size", "proxy-buffering", "proxy-connect-timeout", "proxy-next-upstream"})
"""What nginx needs them for does not arise here: there is no body limit, nothing is buffered."""


@dataclass(frozen=True, slots=True)
class Canary:
    """When a canary gets a request: by header, else by cookie, else by weight. Empty fields do not decide."""

    weight: int = 0
    total: int = 100
    header: str = ""
    header_value: str = ""
    header_pattern: str = ""
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class Annotations:
    """What the annotations of one Ingress say.

    `idle_timeout`: seconds, 0 if not stated. `notes`: what was not honoured.
    """

    protocol: Literal["h2", "http1"] = "http1"
    tls_to_backend: bool = False
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    upstream_host: str = ""
    idle_timeout: float = 0
    canary: Canary | None = None
    notes: tuple[str, ...] = ()


def read_annotations(annotations: Mapping[str, str]) -> Annotations:
    """Read the annotations of an Ingress."""
    stated = {name.removeprefix(PREFIX): value for name, value in annotations.items() if name.startswith(PREFIX)}
    protocol = stated.get("backend-protocol", "HTTP").upper()
    return Annotations(
        protocol="h2" if protocol in ("GRPC", "GRPCS") else "http1",
        tls_to_backend=protocol in ("HTTPS", "GRPCS"),
        ssl_redirect=stated.get("ssl-redirect", "true") != "false",
        force_ssl_redirect=stated.get("force-ssl-redirect") == "true",
        upstream_host=stated.get("upstream-vhost", ""),
        idle_timeout=max(_number(stated.get("proxy-read-timeout")), _number(stated.get("proxy-send-timeout"))),
        canary=_canary(stated) if stated.get("canary") == "true" else None,
        notes=tuple(_notes(stated, protocol)),
    )


def _canary(stated: Mapping[str, str]) -> Canary:
    total = _number(stated.get("canary-weight-total"))
    return Canary(
        weight=_number(stated.get("canary-weight")),
        total=total if total >= 100 else 100,
        header=stated.get("canary-by-header", "").lower(),
        header_value=stated.get("canary-by-header-value", ""),
        header_pattern=stated.get("canary-by-header-pattern", ""),
        cookie=stated.get("canary-by-cookie", ""),
    )


def _number(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 10 else 0


def _notes(stated: Mapping[str, str], protocol: str) -> Iterable[str]:
    if protocol not in _PROTOCOLS:
        value = stated["backend-protocol"]
        yield f"{PREFIX}backend-protocol: {value!r} is not one of {', '.join(_PROTOCOLS)}; HTTP is used"
    ignored = sorted(stated.keys() - _HONOURED - _WITHOUT_EFFECT)
    if ignored:
        yield f"annotations without effect here: {', '.join(PREFIX + name for name in ignored)}"

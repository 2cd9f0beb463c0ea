"""`tls.options` of a listener: how strictly it ends TLS, under keys of our own (`roadstead.dev/…`).

An option of ours that cannot be read closes the listener: a mistyped demand must not become no demand. Options of
others' domains are for others and are left alone, and somebody is told.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from roadstead.gateway.translate.fields import text_map
from roadstead.gateway.translate.problem import Problem

_DOMAIN = "roadstead.dev/"
_NAMES = ("min-tls-version", "cipher-suites")
_KEYS = MINIMUM_VERSION, CIPHER_SUITES = tuple(f"{_DOMAIN}{name}" for name in _NAMES)
_VERSIONS = ("1.2", "1.3")
_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""What HTTP/2 allows of TLS 1.2 (RFC 9113, appendix A, forbids the others), by IANA's names; OpenSSL's are as good."""


class TlsOptions(NamedTuple):
    """The options in effect. `unheeded`: the keys in the manifest without effect, those of others or all of them."""

    minimum_version: Literal["1.2", "1.3"] = "1.2"
    cipher_suites: tuple[str, ...] = ()
    unheeded: tuple[str, ...] = ()


DEFAULT_OPTIONS = TlsOptions()


def read_tls_options(tls: Mapping[str, Any], *, ends_here: bool = True) -> TlsOptions | Problem:
    """Return what the `tls` of a listener demands, or what of it cannot be read.

    `ends_here`: this listener ends TLS; else there is nothing to demand.
    """
    stated = text_map(tls.get("options"))
    unknown = sorted(key for key in stated if key.startswith(_DOMAIN) and key not in _KEYS)
    if unknown:
        close = difflib.get_close_matches(unknown[0].removeprefix(_DOMAIN), _NAMES, n=1)
        remedy = f"did you mean {_DOMAIN}{close[0]}?" if close else f"there are {', '.join(_KEYS)}"
        return Problem("UnsupportedValue", f"tls.options[{unknown[0]}]: Roadstead has no such option; {remedy}")
    version = stated.get(MINIMUM_VERSION, "1.2").strip()
    if version not in _VERSIONS:
        message = f"tls.options[{MINIMUM_VERSION}]: {version!r} is not one of {', '.join(_VERSIONS)}"
        return Problem("UnsupportedValue", message)
    suites = _suites(stated.get(CIPHER_SUITES, ""))
    if isinstance(suites, Problem):
        return suites
    unheeded = tuple(sorted(key for key in stated if not (ends_here and key.startswith(_DOMAIN))))
    return TlsOptions(cast("Literal['1.2', '1.3']", version), suites, unheeded)


def _suites(value: str) -> tuple[str, ...] | Problem:
    names = [name for part in value.replace(":", ",").split(",") if (name := part.strip())]
    found = tuple(dict.fromkeys(_SUITES.get(name, name) for name in names))
    wrong = [name for name in found if name not in _SUITES.values()]
    if wrong:
        message = (
            f"tls.options[{CIPHER_SUITES}]: {', '.join(map(repr, wrong))} is not one of {', '.join(_SUITES.values())}"
        )
        return Problem("UnsupportedValue", message)
    return found

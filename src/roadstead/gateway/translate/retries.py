"""When a request is sent again: what an HTTPRoute's `retry` says, or the annotations of a GRPCRoute.

Without either, only what surely no backend has begun to process is sent again. A gRPC status can be answered with
another try only if it comes alone, before any message: once a byte has gone to the client nobody can take it back.
Source: gateway-api, apis/v1/httproute_types.go (HTTPRouteRetry); Envoy, router_filter.rst (x-envoy-retry-on).
"""

from collections.abc import Mapping
from typing import Any

from roadstead.gateway.ir import SAFE_RETRY, Retry
from roadstead.gateway.translate.durations import seconds
from roadstead.gateway.translate.fields import integer, mapping, text
from roadstead.gateway.translate.problem import Problem

GRPC_CODES = {
    "CANCELLED": "cancelled",
    "DEADLINE_EXCEEDED": "deadline-exceeded",
    "INTERNAL": "internal",
    "RESOURCE_EXHAUSTED": "resource-exhausted",
    "UNAVAILABLE": "unavailable",
}
"""The codes after which Envoy can try again, and Envoy's words for them."""

MOST_ATTEMPTS = 100
_ON_LOST_CONNECTIONS = ("connect-failure", "refused-stream", "reset")
_SMALLEST_CODE, _LARGEST_CODE = 400, 599


def http_retry(rule: Mapping[str, Any], path: str) -> Retry | Problem:
    """Return what a rule of an HTTPRoute says: any lost connection and the listed codes are tried again."""
    stated = mapping(rule.get("retry"))
    if not stated:
        return SAFE_RETRY
    listed = stated.get("codes")
    codes = tuple(dict.fromkeys(integer(code) for code in listed)) if isinstance(listed, list) else ()
    wrong = [code for code in codes if not _SMALLEST_CODE <= code <= _LARGEST_CODE]
    if wrong:
        message = f"{path}.retry.codes: {wrong[0]} is not between {_SMALLEST_CODE} and {_LARGEST_CODE}"
        return Problem("UnsupportedValue", message)
    attempts = integer(stated.get("attempts"), SAFE_RETRY.attempts)
    if not 0 < attempts <= MOST_ATTEMPTS:
        message = f"{path}.retry.attempts: {attempts} is not between 1 and {MOST_ATTEMPTS}"
        return Problem("UnsupportedValue", message)
    backoff = seconds(text(stated.get("backoff"), "0s"))
    if backoff is None:
        return Problem("UnsupportedValue", f"{path}.retry.backoff: {stated.get('backoff')!r} is not a duration")
    return Retry(_ON_LOST_CONNECTIONS, attempts, codes=codes, backoff=backoff)


def grpc_retry(stated: Mapping[str, Any]) -> Retry:
    """Return what the annotations of a GRPCRoute say (`retry-on`, `retry-attempts`, `retry-backoff`)."""
    if not stated.keys() & {"retry-on", "retry-attempts", "retry-backoff"}:
        return SAFE_RETRY
    return Retry(
        SAFE_RETRY.conditions,
        stated.get("retry-attempts", SAFE_RETRY.attempts),
        tuple(GRPC_CODES[code] for code in stated.get("retry-on", ())),
        backoff=stated.get("retry-backoff", 0),
    )


def read_codes(value: str) -> tuple[str, ...] | None:
    """Return the codes of an annotation like `UNAVAILABLE, RESOURCE_EXHAUSTED`, None if one of them is unknown."""
    found = tuple(dict.fromkeys(code.strip().upper().replace("-", "_") for code in value.split(",")))
    return found if all(code in GRPC_CODES for code in found) else None


def read_attempts(value: str) -> int | None:
    """Return the number of an annotation, None if it is none or too large."""
    number = int(value) if value.strip().isascii() and value.strip().isdigit() else 0
    return number if 0 < number <= MOST_ATTEMPTS else None

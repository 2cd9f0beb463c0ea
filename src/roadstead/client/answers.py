"""Answers read: what the bytes that came back mean. Pure; the counterpart of `requests`."""

from collections.abc import Mapping

import msgspec

from roadstead.api.errors import ApiError, ServiceUnavailable, TooManyRequests, from_status
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.client.requests import Request


def list_items(resource: Resource, answer: ReadOnlyObject) -> list[Object]:
    """Return a list's items, each with the `apiVersion` and `kind` that Kubernetes leaves out there."""
    about = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**about, **item} for item in answer.get("items") or ()]


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Return in how many seconds a refused request may be repeated, or None if the server does not say."""
    if status not in (TooManyRequests.code, ServiceUnavailable.code):
        return None
    try:
        return min(max(float(headers["retry-after"]), 0.0), 10.0)
    except (KeyError, ValueError):
        return None


def error_from(request: Request, status: int, body: bytes) -> ApiError:
    """Rebuild the error of an answer; a proxy's answer that is not a `Status` is quoted."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = None
    text = body[:200].decode("utf-8", "replace").strip()
    fallback = f"{request.method} {request.target}: HTTP {status}{f': {text}' if text else ''}"
    return from_status(status, decoded if isinstance(decoded, dict) else None, fallback)


def decode(request: Request, body: bytes) -> Object:
    """Return the JSON object of an answer. Raises ServiceUnavailable if it is something else."""
    try:
        decoded = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError as error:
        raise ServiceUnavailable(f"{request.method} {request.target}: the answer is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ServiceUnavailable(f"{request.method} {request.target}: the answer is not a JSON object")
    return decoded

"""Errors that carry their own answer: an HTTP code and a Kubernetes `Status`.

    ApiError
    ├── BadRequest 400
    ├── Unauthorized 401
    ├── Forbidden 403
    ├── NotFound 404
    ├── MethodNotAllowed 405
    ├── NotAcceptable 406
    ├── Conflict 409
    ├── AlreadyExists 409
    ├── Expired 410
    ├── RequestEntityTooLarge 413
    ├── UnsupportedMediaType 415
    ├── Invalid 422
    ├── TooManyRequests 429
    ├── InternalError 500
    ├── ServiceUnavailable 503
    └── Timeout 504

The server raises them and renders `status()`; the client rebuilds them from a `Status` with `from_status`. So both
sides of the seam speak of the same errors. Reasons: apimachinery's meta/v1 types.go, `StatusReason*`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from roadstead.api.objects import Object


class ApiError(Exception):
    """A refused request. `message` is for people; `details` is the Status' `details` (kind, name, causes, ...)."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "Unknown"
    warnings: tuple[str, ...] = ()
    """What a client is told besides, such as of fields that nobody knows."""

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})

    def status(self) -> Object:
        """Return the `v1.Status` that a Kubernetes client expects as the body of this answer."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details or self.code == 404:  # kubectl debug reads the details of every 404
            status["details"] = {field: value for field, value in self.details.items() if value}
        return status


class BadRequest(ApiError):
    """The request cannot be understood."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """Nobody vouches for the caller."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The caller is known and may not do this."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such object or resource."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The resource does not have this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the representations that the client accepts can be produced."""

    code, reason = 406, "NotAcceptable"


class Conflict(ApiError):
    """The object has changed since the caller read it, or another field manager owns a field."""

    code, reason = 409, "Conflict"


class AlreadyExists(ApiError):
    """An object of this name is there already."""

    code, reason = 409, "AlreadyExists"


class Expired(ApiError):
    """The resourceVersion is older than the event log: list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    """The body is larger than the server takes."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body's content type is not understood for this verb."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object is well-formed and wrong: `causes` names every field at fault."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """Try again later; eviction says so when a disruption budget would be broken."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """A fault of the server."""

    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    """The server cannot answer at the moment."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The server could not answer in time, or was asked for a resourceVersion from the future."""

    code, reason = 504, "Timeout"


_BY_REASON = {error.reason: error for error in ApiError.__subclasses__()}
_BY_CODE = {error.code: error for error in reversed(ApiError.__subclasses__())}


def from_status(code: int, body: Mapping[str, Any] | None, fallback: str) -> ApiError:
    """Rebuild the error from an HTTP code and, if there was one, a `v1.Status` body."""
    status = body if body and body.get("kind") == "Status" else {}
    error = _BY_REASON.get(status.get("reason") or "") or _BY_CODE.get(code) or InternalError
    return error(status.get("message") or fallback, status.get("details"))


def not_found(plural: str, group: str, name: str) -> NotFound:
    """Return the answer for a missing object, worded as Kubernetes words it."""
    qualified = f"{plural}.{group}" if group else plural
    return NotFound(f'{qualified} "{name}" not found', {"name": name, "group": group, "kind": plural})


def invalid(kind: str, group: str, name: str, causes: Iterable[tuple[str, str, str]]) -> Invalid:
    """Return the answer for an object with wrong fields.

    `causes` are `(reason, field, message)`, for instance `("FieldValueRequired", "spec.selector", "Required value")`.
    """
    listed = [{"reason": reason, "message": message, "field": field} for reason, field, message in causes]
    qualified = f"{kind}.{group}" if group else kind
    problems = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in listed))
    text = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
    details = {"name": name, "group": group, "kind": kind, "causes": listed}
    return Invalid(f'{qualified} "{name}" is invalid: {text}', details)

"""Is the request what its .proto file says? Rules of protovalidate, checked before the handler gets a message.

    message CreateUserRequest { string email = 1 [(buf.validate.field).string.email = true]; }

A request that breaks a rule is answered with INVALID_ARGUMENT and, with the extra `details`, a `BadRequest` that names
each field. A rule that is itself at fault (it cannot be compiled, or it divides by zero) is the server's mistake: its
requests are answered like any exception, and the log says at the server's start which rules cannot be compiled. Needs
the extra `validation`.
"""

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any

import grpc
import structlog

from roadstead.service import details
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal

try:
    import protobuf
    import protovalidate
except ModuleNotFoundError as missing:
    problem = "validation needs protovalidate: install it with `pip install 'roadstead[validation]'`"
    raise ModuleNotFoundError(problem, name=missing.name) from missing

_log = structlog.get_logger(__name__)
# Of a larger message only the first fault is looked for: somebody could send a million, each costs time and memory.
_LARGE = 2048
_MOST_TOLD = 100
_LONGEST_FIELD = 200
_LONGEST_DESCRIPTION = 500


class Validation(Stage):
    """Refuses messages that break the rules of their .proto file. Comes after `Authorization`."""

    def __init__(self, validator: Any = None) -> None:
        self._validator = validator or protovalidate.Validator()
        self._has_rules: dict[type, bool] = {}

    def begin(self, services: Mapping[str, Container[str]]) -> None:
        """Compile the rules of all requests, so that no caller waits for it; say which cannot be compiled."""
        for service, methods in services.items():
            for name, handler in methods.items() if isinstance(methods, Mapping) else ():
                self._prepare(f"{service}/{name}", getattr(handler.request_deserializer, "__self__", None))

    def enter(self, call: Call) -> Admission:
        """Have every message of the request judged; refuses nothing itself."""
        call.judge_by(self._judge)
        return None

    def _prepare(self, method: str, kind: Any) -> None:
        if not isinstance(kind, type) or not _is_message(kind):
            return
        try:
            self._violations(kind(), fail_fast=True)
        except protovalidate.CompilationError as error:
            _log.error(
                "the rules of a request cannot be compiled: it will be refused", method=method, problem=str(error)
            )
        except Exception as error:  # noqa: BLE001  an empty message is no request; a rule may well stumble over it
            _log.debug("the rules of a request do not like an empty one", method=method, problem=str(error))

    def _judge(self, call: Call, message: Any) -> Admission:
        kind = type(message)
        known = self._has_rules.get(kind)
        if known is None:
            known = self._has_rules[kind] = _is_message(kind)
        if not known or not self._violations(message, fail_fast=True):
            return None
        return refusal_for(self._violations(message, fail_fast=_size(message) > _LARGE))

    def _violations(self, message: Any, *, fail_fast: bool) -> Sequence[protovalidate.Violation]:
        try:
            return self._validator.collect_violations(message, fail_fast=fail_fast)
        except Exception:
            raise
        except BaseException as error:
            # A panic in the validator's native code is no Exception, and would end the server's process.
            if type(error).__name__ == "PanicException":
                raise RuntimeError(f"the validator panicked: {error}") from error
            raise


def refusal_for(violations: Sequence[protovalidate.Violation]) -> Refusal:
    """Return what a caller is told about the rules that its message broke. The log is told no values."""
    found = [violation.proto for violation in violations[:_MOST_TOLD]]
    told = [(field_path(each), _description(each)) for each in found]
    field, description = told[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"invalid request: {f'{field}: ' if field else ''}{description}{more}"
    broken = dict.fromkeys(f"{_field_names(each)} ({each.rule_id})".strip() for each in found)
    reason = f"invalid request: {', '.join(list(broken)[:5])}"
    faults = _bad_request(found, told) if details.available() else ()
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, details.shortened_text(message), reason, details=faults)


def _bad_request(found: Sequence[protovalidate.ViolationPb], told: Sequence[tuple[str, str]]) -> tuple[Any, ...]:
    from google.rpc.error_details_pb2 import BadRequest

    faults = [
        BadRequest.FieldViolation(field=field, description=description, reason=each.rule_id)
        for each, (field, description) in zip(found, told, strict=True)
    ]
    return (BadRequest(field_violations=faults),)


def field_path(violation: protovalidate.ViolationPb) -> str:
    """Return where a fault is: `user.emails[1]`, `places["home"].country`; empty for the message as a whole."""
    elements = violation.field.elements if violation.field is not None else ()
    path = ".".join(f"{element.field_name}{_subscript(element)}" for element in elements)
    return path if len(path) <= _LONGEST_FIELD else path[: _LONGEST_FIELD - 1] + "…"


def _field_names(violation: protovalidate.ViolationPb) -> str:
    elements = violation.field.elements if violation.field is not None else ()
    return ".".join(element.field_name for element in elements)


def _subscript(element: protovalidate.FieldPathElementPb) -> str:
    key = element.subscript
    return "" if key is None else f"[{json.dumps(key.value, ensure_ascii=False)}]"


def _description(violation: protovalidate.ViolationPb) -> str:
    description = violation.message or f"it breaks the rule {violation.rule_id}"
    return f"key: {description}" if violation.for_key else description[:_LONGEST_DESCRIPTION]


def _is_message(kind: type) -> bool:
    return hasattr(kind, "DESCRIPTOR") or issubclass(kind, protobuf.Message)


def _size(message: Any) -> int:
    # Messages of protobuf-py do not tell their size.
    return int(message.ByteSize()) if hasattr(message, "ByteSize") else _LARGE + 1

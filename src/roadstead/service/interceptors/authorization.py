"""May the caller do this? Asks the policy in force about every RPC; what it does not allow is denied.

Where a rule depends on the request, every message of it is judged before the handler gets it.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

import grpc
import structlog

from roadstead.service.decision import Decision, Policy, decide, misspelt
from roadstead.service.in_force import PolicyInForce
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal, unauthenticated

_log = structlog.get_logger(__name__)


class Authorization(Stage):
    """Judges `call.identity` by the policy that `policy()` returns at that moment. Comes after `Authentication`."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy if isinstance(policy, PolicyInForce) else PolicyInForce(policy)

    def begin(self, services: Mapping[str, Container[str]]) -> None:
        """Warn of methods that the policy, or a later one, names and that do not exist: nobody can call them."""

        def warn(policy: Policy) -> None:
            if names := misspelt(policy, services):
                _log.warning("the policy names methods that do not exist", methods=names)

        self._policy.watch(warn)

    def admit(self, call: Call) -> Admission:
        """Return None if the policy allows the call, as far as its headers tell."""
        decision = self._policy.standing(call.identity, call.method)
        if decision is None:
            decision = decide(self._policy(), call.identity, call.method, call.metadata)
            if decision.answer == "depends":
                call.judge_by(self._judge_request)
        call.reason, call.decision = decision.reason, decision
        return None if decision.answer == "allowed" else _refusal(call, decision)

    def _judge_request(self, call: Call, request: Any) -> Admission:
        decision = decide(self._policy(), call.identity, call.method, call.metadata, request)
        call.reason, call.decision = decision.reason, decision
        return _refusal(call, decision)


def _refusal(call: Call, decision: Decision) -> Admission:
    if decision.answer == "unauthenticated":
        return unauthenticated(decision.reason)
    if decision.answer == "denied":
        message = f"not allowed to call {call.method}"
        return Refusal(grpc.StatusCode.PERMISSION_DENIED, message, decision.reason, public_reason="METHOD_DENIED")
    return None

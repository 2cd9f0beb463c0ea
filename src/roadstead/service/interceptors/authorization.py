"""May the caller do this? Asks the policy in force about every RPC; what it does not allow is denied.

Where a rule depends on the request, every message of it is judged before the handler gets it.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

import grpc
import structlog

from roadstead.service.decision import Decision, Policy, decide, misspelt, standing_decision
from roadstead.service.identity import Identity
from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.refusal import Refusal, unauthenticated

_log = structlog.get_logger(__name__)
_MOST_DECISIONS = 4096


class Authorization(Stage):
    """Judges `call.identity` by the policy that `policy()` returns at that moment. Comes after `Authentication`."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy
        self._standing = Standing(Policy())

    def begin(self, services: Mapping[str, Container[str]]) -> None:
        """Warn of methods that the policy names and that do not exist: whoever is to call them cannot."""
        if names := misspelt(self._policy(), services):
            _log.warning("the policy names methods that do not exist", methods=names)

    def admit(self, call: Call) -> Admission:
        """Return None if the policy allows the call, or if it is not known yet who calls."""
        return None if call.deferred else self._judge(call)

    def enter(self, call: Call) -> Admission:
        """Return None if the policy allows a caller who was told by the connection."""
        return self._judge(call) if call.deferred else None

    def _judge(self, call: Call) -> Admission:
        policy = self._policy()
        if policy is not self._standing.policy:
            self._standing = Standing(policy)
        decision = self._standing.get(call) or decide(policy, call.identity, call.method, call.metadata)
        if decision.answer == "depends":
            call.judge_by(self._judge_request)
            call.reason, call.decision = decision.reason, decision
            return None
        return _admission(call, decision)

    def _judge_request(self, call: Call, request: Any) -> Admission:
        return _admission(call, decide(self._policy(), call.identity, call.method, call.metadata, request))


class Standing:
    """Decisions of one policy that stand for every call of a method by the same caller, found again quickly."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._decisions: dict[tuple[str | None, str], Decision] = {}

    def get(self, call: Call) -> Decision | None:
        """Return the decision about a call; None if more than its caller and its method counts."""
        identity = call.identity
        if identity is not None and identity.groups:
            return None  # they come with each proof of who it is, and may be others next time
        key = (None if identity is None else identity.name, call.method)
        return self._decisions.get(key) or self._take(key, identity)

    def _take(self, key: tuple[str | None, str], identity: Identity | None) -> Decision | None:
        decision = standing_decision(self.policy, identity, key[1])
        if decision is not None:
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision


def _admission(call: Call, decision: Decision) -> Admission:
    call.reason, call.decision = decision.reason, decision
    if decision.answer == "allowed":
        return None
    if decision.answer == "unauthenticated":
        return unauthenticated(decision.reason)
    message = f"not allowed to call {call.method}"
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, message, decision.reason, public_reason="METHOD_DENIED")

"""The policy in force with what can be remembered of it: the decisions that stand as long as it does.

Both questions are asked of every RPC, so an answer that was given once is found again in one look-up.
"""

import threading
from collections.abc import Callable

from roadstead.service.decision import Decision, Policy, standing_decision
from roadstead.service.identity import Identity

_MOST = 4096


class PolicyInForce:
    """Answers by the policy that `policy()` returns at that moment, also when several threads ask."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy
        self._answers = _Answers(Policy())
        self._lock = threading.Lock()
        # The policy that was last told of, and the one before, by which another thread may still judge.
        self._told: tuple[Policy, ...] = ()
        self._watchers: tuple[Callable[[Policy], None], ...] = ()

    def __call__(self) -> Policy:
        """Return the policy in force."""
        return self._policy()

    def watch(self, on_policy: Callable[[Policy], None]) -> None:
        """Have `on_policy` called with the policy in force, and once with each later one when it is first asked."""
        policy = self._policy()
        with self._lock:
            self._watchers += (on_policy,)
            self._told = (policy,)
        on_policy(policy)

    def is_open(self, method: str) -> bool:
        """Tell whether anybody may call `package.Service/Method` without credentials."""
        policy, answers = self._policy(), self._answers
        if answers.policy is not policy:
            answers = self._answers_by(policy)
        answer = answers.open.get(method)
        return answers.take_open(method) if answer is None else answer

    def standing(self, identity: Identity | None, method: str) -> Decision | None:
        """Return the decision about a call of a method; None if more counts than who calls it."""
        policy, answers = self._policy(), self._answers
        if answers.policy is not policy:
            answers = self._answers_by(policy)
        if identity is not None and identity.groups:
            return None  # they come with each proof of who it is, and may be others next time
        found = answers.decisions.get((None if identity is None else identity.name, method))
        return answers.take_decision(identity, method) if found is None else found

    def _answers_by(self, policy: Policy) -> "_Answers":
        self._answers = answers = _Answers(policy)
        with self._lock:
            if any(policy is each for each in self._told):
                return answers
            self._told = (policy, *self._told[:1])
        for tell in self._watchers:
            tell(policy)
        return answers


class _Answers:
    """What was answered by one policy."""

    __slots__ = ("decisions", "open", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.open: dict[str, bool] = {}
        self.decisions: dict[tuple[str | None, str], Decision] = {}

    def take_open(self, method: str) -> bool:
        if len(self.open) >= _MOST:
            self.open.clear()
        self.open[method] = answer = self.policy.is_anonymous(method)
        return answer

    def take_decision(self, identity: Identity | None, method: str) -> Decision | None:
        decision = standing_decision(self.policy, identity, method)
        if decision is not None:
            if len(self.decisions) >= _MOST:
                self.decisions.clear()
            self.decisions[None if identity is None else identity.name, method] = decision
        return decision

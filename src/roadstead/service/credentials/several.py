"""Tokens of several issuers: asks one verifier after the other until one of them knows the token."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Protocol

from roadstead.service.credentials.presented import Token
from roadstead.service.identity import Identity
from roadstead.service.refusal import Refusal, unauthenticated

Checked = Identity | Refusal


class Verifier(Protocol):
    """One that checks tokens (`TokenVerifier`, `JwtVerifier`)."""

    def verify(self, claim: Token) -> "Checked | Future[Checked]":
        """Return who it is, a refusal, or a future of one of them."""


class FirstOf:
    """The first identity that one of `verifiers` finds; else the first refusal that is about more than this token."""

    def __init__(self, *verifiers: Verifier) -> None:
        self._verifiers = verifiers

    def verify(self, claim: Token) -> "Checked | Future[Checked]":
        """Return who it is, a refusal, or a future of one of them."""
        refusals: list[Refusal] = []
        rest = iter(self._verifiers)
        for verifier in rest:
            found = verifier.verify(claim)
            if isinstance(found, Future):
                return self._later(found, claim, rest, refusals)
            if isinstance(found, Identity):
                return found
            refusals.append(found)
        return _together(refusals)

    def _later(
        self, pending: "Future[Checked]", claim: Token, rest: Iterator[Verifier], refusals: list[Refusal]
    ) -> "Future[Checked]":
        answer: Future[Checked] = Future()
        answer.set_running_or_notify_cancel()

        def settle(done: "Future[Checked]") -> None:
            try:
                found = done.result()
                if isinstance(found, Identity):
                    answer.set_result(found)
                    return
                refusals.append(found)
                following = next(rest, None)
                if following is None:
                    answer.set_result(_together(refusals))
                else:
                    _future(following.verify(claim)).add_done_callback(settle)
            except Exception as error:  # noqa: BLE001  somebody waits for an answer, and gets this one
                answer.set_exception(error)

        pending.add_done_callback(settle)
        return answer


def _together(refusals: list[Refusal]) -> Refusal:
    wrong = unauthenticated("; ".join(refusal.reason for refusal in refusals) or "no verifier for tokens")
    return next((refusal for refusal in refusals if refusal.code is not wrong.code), wrong)


def _future(found: "Checked | Future[Checked]") -> "Future[Checked]":
    if isinstance(found, Future):
        return found
    done: Future[Checked] = Future()
    done.set_result(found)
    return done

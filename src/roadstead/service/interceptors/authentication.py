"""Who is calling? Turns the credentials of every RPC into `call.identity`, or refuses.

What the metadata presents counts first, since it may speak for a person; then the certificate of the connection.
Methods that are open to anybody are not looked at: a caller with an expired token must still be able to log in.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from roadstead.service.credentials.certificate import AuthContext, shown_names
from roadstead.service.credentials.client import client_of
from roadstead.service.credentials.connection import is_encrypted, is_inside
from roadstead.service.credentials.forwarded import TrustedGateways
from roadstead.service.credentials.presented import Malformed, NamePassword, Presented, Token, presented
from roadstead.service.decision import NO_CREDENTIALS, Decision
from roadstead.service.health_methods import is_health
from roadstead.service.identity import Identity
from roadstead.service.interceptors.stage import Admission, Call, Metadata, Stage
from roadstead.service.refusal import Refusal, unauthenticated

Verified = Identity | Refusal


class PasswordCheck(Protocol):
    """What checks names and passwords (`credentials.password.PasswordVerifier`)."""

    def verify(self, claim: NamePassword, client: Callable[[], str]) -> "Verified | Future[Verified]":
        """Return who it is, a refusal, or a future of one of them; `client()` is what `client_of` returns."""


class TokenCheck(Protocol):
    """What checks bearer tokens (`credentials.token.TokenVerifier`)."""

    def verify(self, claim: Token) -> "Verified | Future[Verified]":
        """Return who it is, a refusal, or a future of one of them."""


class CertificateCheck(Protocol):
    """What tells callers by certificate (`credentials.certificate.CertificateVerifier`)."""

    def verify(self, connection: AuthContext, peer: str, metadata: Metadata) -> Verified:
        """Return who it is, or a refusal."""


class Authentication(Stage):
    """Requires credentials on every method except those for which `is_open(method)` is true.

    A kind of credentials without a verifier is refused like wrong ones. So are credentials that came unencrypted from a
    peer for which `is_inside(peer)` is false: somebody may have read them on the way. That is said before they are
    looked at: else the time, the words or the throttle would tell whoever listens there, or guesses, which are right.
    `gateways` are those whose `x-forwarded-for` tells from where an attempt comes; failed ones are counted for that
    address.
    """

    def __init__(
        self,
        passwords: PasswordCheck | None = None,
        tokens: TokenCheck | None = None,
        is_open: Callable[[str], bool] = is_health,
        is_inside: Callable[[str], bool] = is_inside,
        certificates: CertificateCheck | None = None,
        gateways: TrustedGateways | None = None,
    ) -> None:
        self._passwords = passwords
        self._tokens = tokens
        self._certificates = certificates
        self._gateways = gateways or TrustedGateways()
        self._is_open = is_open
        self._is_inside = is_inside

    def admit(self, call: Call) -> "Admission | Future[Admission]":
        """Check what the metadata presents, or else the certificate."""
        if self._is_open(call.method):
            # For limits, and for a handler, such as that of a login, which takes a password in its request.
            call.client = self._client(call)
            return None
        claim = presented(call.metadata)
        if claim is not None and not self._is_inside(call.peer) and not is_encrypted(call.context.auth_context()):
            return _unencrypted(call)
        result = self._verify(claim, call)
        return _chained(result, call) if isinstance(result, Future) else _taken(result, call)

    def _client(self, call: Call) -> str:
        shown = shown_names(call.context.auth_context())
        return client_of(call.peer, shown, call.metadata, self._gateways)

    def _verify(self, claim: Presented | None, call: Call) -> "Verified | Future[Verified]":
        if isinstance(claim, NamePassword) and self._passwords is not None:
            return self._passwords.verify(claim, lambda: self._client(call))
        if isinstance(claim, Token) and self._tokens is not None:
            return self._tokens.verify(claim)
        if isinstance(claim, Malformed):
            return unauthenticated(claim.problem, f"unusable credentials: {claim.problem}", "CREDENTIALS_UNUSABLE")
        if claim is not None:
            return unauthenticated(f"{type(claim).__name__} is not accepted here")
        if self._certificates is not None:
            return self._certificates.verify(call.context.auth_context(), call.peer, call.metadata)
        return unauthenticated(NO_CREDENTIALS)


def _taken(result: Verified, call: Call) -> Admission:
    if isinstance(result, Refusal):
        return _noted(result, call)
    call.identity = result
    return None


def _unencrypted(call: Call) -> Admission:
    message = "credentials are not accepted over an unencrypted connection"
    refusal = unauthenticated(f"unencrypted credentials from {call.peer}", message, "CREDENTIALS_UNENCRYPTED")
    return _noted(refusal, call)


def _noted(refusal: Admission, call: Call) -> Admission:
    """Note why nobody vouches for a caller, for those who count that."""
    if refusal is not None:
        word = refusal.public_reason or refusal.code.name
        cause = NO_CREDENTIALS if refusal.reason == NO_CREDENTIALS else word.lower().replace("_", " ")
        call.decision = Decision("unauthenticated", refusal.reason, cause)
    return refusal


def _chained(pending: "Future[Verified]", call: Call) -> "Future[Admission]":
    answer: Future[Admission] = Future()
    answer.set_running_or_notify_cancel()

    def settle(done: "Future[Verified]") -> None:
        if error := done.exception():
            answer.set_exception(error)
        else:
            answer.set_result(_taken(done.result(), call))

    pending.add_done_callback(settle)
    return answer

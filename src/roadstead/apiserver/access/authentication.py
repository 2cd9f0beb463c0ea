"""Who is calling: a client certificate, a bearer token, or nobody.

A certificate's common name is the user and its organizations are the groups; the TLS layer has verified it already.
Tokens are those that the cluster was started with, and those of service accounts. Next: `rbac`, what they may do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from roadstead.api.errors import Unauthorized
from roadstead.apiserver.access.tokens import ServiceAccountTokens
from roadstead.apiserver.calls import User

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
PeerCertificate = Mapping[str, Any]
"""What `ssl.SSLObject.getpeercert()` returns."""


class Authenticator:
    """Knows the certificates and tokens that somebody vouches for."""

    def __init__(self, tokens: Mapping[str, User], service_accounts: ServiceAccountTokens) -> None:
        # Looking up a digest tells nobody, by its timing, how much of a token was right.
        self._users = {_digest(token): user for token, user in tokens.items()}
        self._service_accounts = service_accounts

    @property
    def audience(self) -> str:
        """Whom tokens are for if nobody says otherwise: this server."""
        return self._service_accounts.issuer

    def identify(self, certificate: PeerCertificate | None, authorization: str) -> User:
        """Return who calls, `ANONYMOUS` if nothing was shown. Raises Unauthorized for a token that nobody gave out."""
        if authorization:
            return self._by_authorization(authorization)
        if certificate:
            return user_of_certificate(certificate)
        return ANONYMOUS

    def _by_authorization(self, authorization: str) -> User:
        scheme, _, token = authorization.partition(" ")
        user = self.by_token(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise Unauthorized("Unauthorized")
        return user

    def by_token(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """Return whose token this is, or None."""
        known = self._users.get(_digest(token))
        if known is not None:  # it names no audience, so it is meant for this server
            return authenticated(known) if not audiences or self.audience in audiences else None
        account = self._service_accounts.verify(token, audiences)
        return authenticated(account) if account is not None else None

    def for_audiences(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        """Return whose token this is and for which of the audiences it is meant; None if it is for none of them."""
        meant = [audience for audience in audiences if self.by_token(token, [audience]) is not None]
        user = self.by_token(token, meant) if meant else None
        return (user, meant) if user is not None else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def authenticated(user: User) -> User:
    """Return the user as a member of the group that everybody who was recognised is in."""
    if AUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


def user_of_certificate(certificate: PeerCertificate) -> User:
    """Return the user that a verified certificate names."""
    names: list[str] = []
    groups: list[str] = []
    for relative in certificate.get("subject", ()):
        for attribute, value in relative:
            if attribute == "commonName":
                names.append(value)
            elif attribute == "organizationName":
                groups.append(value)
    if not names:
        raise Unauthorized("the client certificate has no common name")
    return authenticated(User(names[-1], tuple(groups)))

"""The usual chain of stages, for a server of either sort."""

from pathlib import Path

from roadstead.service.credentials.forwarded import TrustedGateways
from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.files import WatchedFile
from roadstead.service.in_force import PolicyInForce
from roadstead.service.interceptors.access_log import AccessLog
from roadstead.service.interceptors.authentication import Authentication, CertificateCheck, TokenCheck
from roadstead.service.interceptors.authorization import Authorization
from roadstead.service.interceptors.deadline import Deadline
from roadstead.service.interceptors.errors import Errors
from roadstead.service.interceptors.expiry import Expiry
from roadstead.service.interceptors.stage import Stage
from roadstead.service.passwords import parse_password_file
from roadstead.service.policy import parse_policy


def standard_stages(
    *,
    passwords: str | Path | None = None,
    tokens: TokenCheck | None = None,
    certificates: CertificateCheck | None = None,
    gateways: TrustedGateways | None = None,
    policy: str | Path | None = None,
    default_deadline: float | None = None,
    longest_deadline: float | None = None,
    end_expired_streams: bool = False,
    metrics: bool = False,
    tracing: bool = False,
    validation: bool = False,
) -> list[Stage]:
    """Return the usual chain: log, errors, deadline and, with a policy, who may call what.

    `passwords` and `policy` are files that are read again when they change. Raises OSError or ValueError if they
    cannot be read now, and ValueError for credentials without a policy, which alone says who may do what. A policy
    without any kind of credentials lets only its anonymous methods through. `gateways` are believed when their
    `x-forwarded-for` says from where an attempt comes; failures are counted for that address. With
    `end_expired_streams`, a stream ends when the token that it began with expires. `metrics` counts RPCs and
    decisions for Prometheus (extra `metrics`; `interceptors.metrics.serve_metrics` shows them). `tracing` makes spans
    of OpenTelemetry (extra `tracing`). `validation` refuses requests that break the rules of their .proto file (extra
    `validation`).
    """
    around: list[Stage] = [*_tracing(tracing), *_metrics(metrics), AccessLog(), Errors()]
    stages = [*around, Deadline(default_deadline, longest_deadline)]
    if policy is not None:
        stages += _audit(metrics)
        stages += _who_may(policy, passwords, tokens, certificates, gateways, end_expired_streams)
    else:
        _refuse_useless(
            passwords=passwords,
            tokens=tokens,
            certificates=certificates,
            gateways=gateways,
            end_expired_streams=end_expired_streams or None,
        )
    return [*stages, *_validation(validation)]


def _refuse_useless(**given: object) -> None:
    """Raise ValueError for what has no effect without a policy: the server would be open to everybody."""
    useless = [name for name, value in given.items() if value is not None]
    if useless:
        raise ValueError(f"{', '.join(useless)}: without a policy nobody is asked who they are; name a policy file")


def _who_may(
    policy: str | Path,
    passwords: str | Path | None,
    tokens: TokenCheck | None,
    certificates: CertificateCheck | None,
    gateways: TrustedGateways | None,
    end_expired_streams: bool,
) -> list[Stage]:
    in_force = PolicyInForce(WatchedFile(policy, parse_policy).current)
    verifier = PasswordVerifier(WatchedFile(passwords, parse_password_file).current) if passwords is not None else None
    authentication = Authentication(
        verifier,
        tokens,
        is_open=in_force.is_open,
        certificates=certificates,
        gateways=gateways,
    )
    expiry = [Expiry()] if end_expired_streams else []
    return [authentication, *expiry, Authorization(in_force)]


def _tracing(wanted: bool) -> list[Stage]:
    if not wanted:
        return []
    from roadstead.service.interceptors.tracing import Tracing

    return [Tracing()]


def _metrics(wanted: bool) -> list[Stage]:
    if not wanted:
        return []
    # Here, since only those who want it need its library.
    from roadstead.service.interceptors.metrics import Metrics

    return [Metrics()]


def _audit(wanted: bool) -> list[Stage]:
    if not wanted:
        return []
    from roadstead.service.interceptors.audit import Audit

    return [Audit()]


def _validation(wanted: bool) -> list[Stage]:
    if not wanted:
        return []
    from roadstead.service.interceptors.validation import Validation

    return [Validation()]

"""Seconds since the epoch and RFC 3339, the two ways in which the node and the API tell the time."""

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """Return a time as Kubernetes objects carry it, in whole seconds: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_timestamp(seconds: float) -> str:
    """Return a time with microseconds, as Leases carry it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str) -> float:
    """Read RFC 3339, with or without fractions; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

"""Times as Kubernetes writes them. Who needs the present asks `now` at the edge and passes it on as an argument."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Write a time as `metav1.Time` does: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_rfc3339(text: str | None) -> datetime | None:
    """Read a time; None for what is absent or no time."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""What `up` shows: a line for each thing that changes its state, and the one thing waited for on a line that moves.

Lines, not a redrawn table: they stay readable in a CI log and in a terminal's history.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape

from roadstead.api.objects import Object, ObjectKey
from roadstead.cluster.reach import Entry
from roadstead.cluster.standing import Standing

_SIGNS = {"ready": "[green]✓[/]", "waiting": "[yellow]…[/]", "failed": "[red]✗[/]"}


def standing_line(standing: Standing) -> str:
    """Return one standing as a line of markup."""
    message = f"  {escape(standing.message)}" if standing.message else ""
    return f"{_SIGNS[standing.state]} {standing.kind} {standing.key}{message}"


def entry_rows(entries: Iterable[Entry]) -> list[str]:
    """Return a line for each way in: what to ask for, and where that is."""
    rows = [(entry.url, f"{entry.address}:{entry.port}", entry.source) for entry in entries]
    width = max((len(url) for url, _, _ in rows), default=0)
    return [f"  {escape(url.ljust(width))}  at {address}  ({source})" for url, address, source in rows]


class Screen:
    """Shows standings as they come. Enter it to own the moving line, leave it to clear that."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._shown: dict[tuple[str, ObjectKey], tuple[str, str]] = {}
        self._events: dict[str, int] = {}

    def __enter__(self) -> "Screen":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, standings: Sequence[Standing]) -> None:
        """Print what became ready or failed since the last call; the moving line names what is waited for."""
        waiting = [standing for standing in standings if standing.state == "waiting"]
        for standing in standings:
            identity, state = (standing.kind, standing.key), (standing.state, standing.message)
            if standing.state != "waiting" and self._shown.get(identity) != state:
                self._console.print(standing_line(standing))
            self._shown[identity] = state
        self._status.update(standing_line(waiting[0]) if waiting else "")

    def note(self, standings: Sequence[Standing], events: Iterable[Object]) -> None:
        """Take things as they are for known, without printing them."""
        self._shown = {(standing.kind, standing.key): (standing.state, standing.message) for standing in standings}
        self._events = {event["metadata"]["uid"]: event.get("count") or 1 for event in events}

    def follow(self, standings: Sequence[Standing], events: Iterable[Object]) -> None:
        """Print every change of state, and every warning event that is new."""
        for standing in standings:
            identity, state = (standing.kind, standing.key), (standing.state, standing.message)
            if self._shown.get(identity) != state:
                self._console.print(standing_line(standing))
        for event in events:
            count = event.get("count") or 1
            if event.get("type") == "Warning" and self._events.get(event["metadata"]["uid"]) != count:
                self._console.print(_event_line(event))
        self.note(standings, events)


def _event_line(event: Object) -> str:
    about = event.get("involvedObject") or {}
    name = ObjectKey(about.get("namespace") or "", about.get("name") or "")
    message = escape(event.get("message") or "")
    return f"[yellow]![/] {about.get('kind', '')} {name}  {event.get('reason', '')}: {message}"

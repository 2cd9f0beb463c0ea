"""Where users are kept: a table in SQLite, in memory unless a file is named.

Every pod has a table of its own, with the same first users in it. That is enough to show how requests travel; a real
platform would have one database for all pods.
"""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator

from proto.user_pb2 import UserEvent, UserRecord

FIRST_USERS = (
    UserRecord(id="alice", name="Alice Liddell", email="alice@example.com"),
    UserRecord(id="bob", name="Bob Builder", email="bob@example.com"),
    UserRecord(id="carol", name="Carol Danvers", email="carol@example.com"),
)


class UserStore:
    """Users by id, and a stream of what happens to them."""

    def __init__(self, path: str = ":memory:") -> None:
        self._table = sqlite3.connect(path)
        self._table.execute("CREATE TABLE IF NOT EXISTS user (id TEXT PRIMARY KEY, name TEXT, email TEXT)")
        for user in FIRST_USERS:
            self._table.execute("INSERT OR IGNORE INTO user VALUES (?, ?, ?)", (user.id, user.name, user.email))
        self._table.commit()
        self._watchers: set[asyncio.Queue[UserEvent]] = set()

    def get(self, user_id: str) -> UserRecord | None:
        row = self._table.execute("SELECT id, name, email FROM user WHERE id = ?", (user_id,)).fetchone()
        return UserRecord(id=row[0], name=row[1], email=row[2]) if row else None

    def list(self) -> list[UserRecord]:
        rows = self._table.execute("SELECT id, name, email FROM user ORDER BY rowid").fetchall()
        return [UserRecord(id=row[0], name=row[1], email=row[2]) for row in rows]

    def create(self, user: UserRecord) -> UserRecord | None:
        """Return the user with its id, or None if there is one with this id."""
        user_id = user.id or uuid.uuid4().hex
        done = self._table.execute("INSERT OR IGNORE INTO user VALUES (?, ?, ?)", (user_id, user.name, user.email))
        created = UserRecord(id=user_id, name=user.name, email=user.email)
        return self._changed(UserEvent.CREATED, created) if done.rowcount else None

    def edit(self, user: UserRecord) -> UserRecord | None:
        """Return the user as it is now, or None if there is no such user."""
        done = self._table.execute("UPDATE user SET name = ?, email = ? WHERE id = ?", (user.name, user.email, user.id))
        return self._changed(UserEvent.EDITED, user) if done.rowcount else None

    def delete(self, user_id: str) -> bool:
        user = self.get(user_id)
        if user is None:
            return False
        self._table.execute("DELETE FROM user WHERE id = ?", (user_id,))
        self._changed(UserEvent.DELETED, user)
        return True

    async def watch(self) -> AsyncIterator[UserEvent]:
        """Yield every user there is, then every change."""
        changes: asyncio.Queue[UserEvent] = asyncio.Queue()
        self._watchers.add(changes)
        try:
            for user in self.list():
                yield UserEvent(kind=UserEvent.PRESENT, user=user)
            while True:
                yield await changes.get()
        finally:
            self._watchers.discard(changes)

    def close(self) -> None:
        self._table.close()

    def _changed(self, kind: UserEvent.Kind, user: UserRecord) -> UserRecord:
        self._table.commit()
        for changes in self._watchers:
            changes.put_nowait(UserEvent(kind=kind, user=user))
        return user

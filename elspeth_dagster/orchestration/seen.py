"""What a sensor has seen, kept beside Dagster's cursor and only as good as that cursor says."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

Seen = dict[str, tuple[str, str, int]]
"""Per key: stamp, content and arrival of the file as it was last asked for."""

_PENDING = 4
"""How many looks may be under way at once before the oldest one's changes are forgotten."""

_DRAFT_SECONDS = 3600.0

_Changes = dict[str, tuple[str, str, int] | None]
"""What a look found other than it was; `None` for a file that is gone."""


@dataclass(frozen=True)
class _Book:
    """What was seen up to the look that a token names, and what later looks would make of it."""

    token: str = ""
    entries: Seen = field(default_factory=dict)
    pending: Mapping[str, _Changes] = field(default_factory=dict)

    def up_to(self, cursor: str) -> "_Book | None":
        if cursor == self.token:
            return self
        changes = self.pending.get(cursor)
        if changes is None:
            return None
        entries = {key: entry for key, entry in (self.entries | changes).items() if entry is not None}
        return _Book(cursor, entries)

    def with_look(self, token: str, seen: Seen) -> "_Book":
        changes: _Changes = {key: entry for key, entry in seen.items() if self.entries.get(key) != entry}
        changes |= {key: None for key in self.entries if key not in seen}
        latest = [*self.pending.items(), (token, changes)][-_PENDING:]
        return _Book(self.token, self.entries, dict(latest))


@dataclass(frozen=True)
class Memory:
    """What was seen, in a file: Dagster stores a cursor anew with every look, and so it has to be small.

    What a look changed counts only when Dagster gives that look's cursor back: one that is tried out in the
    UI, or whose daemon died, changes nothing. A cursor that the file does not know, or a file that is lost,
    costs a question to Dagster for each of the files that are watched.
    """

    path: Path

    def recall(self, cursor: str) -> Seen | None:
        """What was seen up to a cursor; `None` for one that is not known."""
        book = self._read().up_to(cursor)
        return book.entries if book else None

    def keep(self, cursor: str, seen: Seen) -> str:
        """Adds what the look that began at a cursor has seen.

        Returns:
            The cursor from which on it counts.
        """
        token = uuid4().hex
        known = self._read()
        self._write((known.up_to(cursor) or known).with_look(token, seen))
        return token

    def _read(self) -> _Book:
        try:
            found = json.loads(self.path.read_bytes())
            entries: Seen = {
                key: (stamp, content, arrival) for key, (stamp, content, arrival) in found["entries"].items()
            }
            pending: dict[str, _Changes] = {
                token: {key: None if entry is None else (*entry,) for key, entry in changes.items()}
                for token, changes in found["pending"].items()
            }
            return _Book(found["token"], entries, pending)
        except (FileNotFoundError, ValueError, TypeError, AttributeError, LookupError):
            return _Book()

    def _write(self, book: _Book) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Two looks at once must not write into each other's draft.
        draft = self.path.with_name(f"{self.path.name}.{uuid4().hex}.tmp")
        try:
            facts = {"token": book.token, "entries": book.entries, "pending": book.pending}
            draft.write_text(json.dumps(facts))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
            self._sweep()

    def _sweep(self) -> None:
        """Removes the drafts of looks that were killed."""
        for draft in self.path.parent.glob(f"{self.path.name}.*.tmp"):
            try:
                if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                    draft.unlink()
            except FileNotFoundError:
                continue  # another look was faster

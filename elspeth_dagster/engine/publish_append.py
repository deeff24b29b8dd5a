"""Appending to a file, so that a crash at any instant can be made good without cutting anything off."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from elspeth_dagster.engine.delivery import FileDelivery, Preview, file_facts
from elspeth_dagster.engine.publish_errors import AppendConflictError
from elspeth_dagster.engine.publishing import Publishing
from elspeth_dagster.engine.target import HashingFile, Target
from elspeth_dagster.landscape import reads, storage
from elspeth_dagster.landscape.commits import ArtifactFacts, CommitDraft, CommitKey, attempt_file, commit
from elspeth_dagster.landscape.digest import json_digest
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.sinks.file import Existing, FileSink, FoldRequest

_COPY_BYTES = 4 << 20


@dataclass(frozen=True)
class _Before:
    """The target as it was before this run touched it.

    Attributes:
        length: Its length in bytes, 0 when there was none.
        inode: Its inode, `None` when there was none.
    """

    length: int
    inode: int | None

    def __str__(self) -> str:
        return "no file" if self.inode is None else f"{self.length} bytes in inode {self.inode}"


def append_to_file(publishing: Publishing, sink: FileSink) -> ArtifactFacts:
    """Appends the sink's rows to its file, and commits.

    The file's length and inode are committed before it is touched. What a later try finds behind that length
    must be the beginning of the same bytes, and is completed.

    Raises:
        ExistingFileError: The file is not one that the rows can be appended to.
        AppendConflictError: Someone else changed the file since this run began to append.
        TargetError: The file cannot be written.
        FenceLostError: A newer attempt holds the run.
    """
    path = publishing.context.resolve(sink.path)
    target = Target.at(publishing.attempt.pipeline, publishing.publication.name, path)
    with target.locked(publishing.landscape):
        return _Append(publishing, sink, target).run()


class _Append:
    def __init__(self, publishing: Publishing, sink: FileSink, target: Target) -> None:
        self._publishing = publishing
        self._sink = sink
        self._target = target
        self._marker = f"append:{publishing.publication.name}"

    def run(self) -> ArtifactFacts:
        publishing, sink = self._publishing, self._sink
        done = publishing.published()
        if done is not None:
            return done
        before, recorded = self._before()
        # Without rows nothing is written, so that it does not matter what the file is.
        matters = before.length > 0 and any(part.rows for part in publishing.parts())
        existing = Existing(self._target.path, before.length) if matters else None
        request = FoldRequest(publishing.originals(), publishing.publication.takes_any, existing)
        delivery = FileDelivery(publishing.landscape, sink, request, publishing.pieces)
        layout, preview = delivery.layout(), Preview()
        with publishing.refusals() as log, self._scratch() as scratch:
            with storage.create_file(scratch) as raw:
                raw.write(self._missing_line_end(before))
                rows = delivery.write(HashingFile(raw), layout, log, preview)
            if rows:
                if not recorded:
                    self._record(before)
                publishing.check_fence()
                self._complete(before, scratch)
            size_bytes, sha256 = self._measure()
            facts = file_facts(sink, layout, preview) | {"appended_at": before.length}
            uri, name = str(self._target.path), publishing.publication.name
            artifact = ArtifactFacts(name, uri, sink.kind, rows, size_bytes, sha256, facts)
            return publishing.commit(log, artifact)

    def _before(self) -> tuple[_Before, bool]:
        """The target before this run, and whether that is committed already."""
        landscape, run_id = self._publishing.landscape, self._publishing.attempt.run_id
        facts = reads.marker(landscape, run_id, self._marker)
        if facts is not None:
            return _Before(facts["length"], facts["inode"]), True
        return self._now(), False

    def _now(self) -> _Before:
        with self._target.touching():
            if not self._target.path.exists():
                return _Before(0, None)
            status = self._target.path.stat()
        return _Before(status.st_size, status.st_ino)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """The path of a file for what is to be appended, which is gone in the end."""
        publishing = self._publishing
        path = attempt_file(publishing.landscape, publishing.attempt, publishing.key, "append", ".tmp")
        with storage.removed_in_the_end(path):
            yield path

    def _missing_line_end(self, before: _Before) -> bytes:
        """What has to stand between the old content and ours."""
        line_end = self._sink.line_end()
        length = min(len(line_end), before.length)
        if not length:
            return b""
        with self._target.touching(), self._target.path.open("rb") as file:
            file.seek(before.length - length)
            return b"" if self._sink.ends_line(file.read(length)) else line_end

    def _record(self, before: _Before) -> None:
        """Commits what the target is, before it is touched."""
        publishing = self._publishing
        facts = {
            "path": str(self._target.path),
            "length": before.length,
            "inode": before.inode,
            "parts": json_digest([part.content_sha256 for part in publishing.parts()]),
        }
        key = CommitKey(Phase.SINK, f"{publishing.publication.name}:append", 0)
        commit(publishing.landscape, publishing.attempt, CommitDraft(key, markers={self._marker: facts}))

    def _complete(self, before: _Before, scratch: Path) -> None:
        """Appends what of our bytes is not there yet."""
        now = self._now()
        wanted = scratch.stat().st_size
        same_file = before.inode is None or now.inode == before.inode
        if not same_file or not before.length <= now.length <= before.length + wanted:
            raise self._conflict(before, str(now))
        present = now.length - before.length
        with scratch.open("rb") as ours:
            if present:
                self._compare(before, ours, present)
            # Made durable even if all of it is there: who wrote it may have died before that.
            with self._target.touching(), storage.append_file(self._target.path) as file:
                shutil.copyfileobj(ours, file, _COPY_BYTES)
                storage.fsync_file(file)
            with self._target.touching():
                storage.fsync_folder(self._target.path.parent)

    def _compare(self, before: _Before, ours: BinaryIO, present: int) -> None:
        """Makes sure that what follows the old content is how ours begins; leaves `ours` behind that."""
        with self._target.touching(), self._target.path.open("rb") as file:
            file.seek(before.length)
            left = present
            while left:
                found = file.read(min(left, _COPY_BYTES))
                if not found or found != ours.read(len(found)):
                    raise self._conflict(before, f"{present} bytes behind these that this run did not write")
                left -= len(found)

    def _conflict(self, before: _Before, found: str) -> AppendConflictError:
        pipeline, name = self._publishing.attempt.pipeline, self._publishing.publication.name
        return AppendConflictError(pipeline, name, self._target.path, str(before), found)

    def _measure(self) -> tuple[int, str]:
        """Size and hash (hex) of the whole file."""
        digest, size = hashlib.sha256(), 0
        with self._target.touching():
            if not self._target.path.exists():
                return 0, digest.hexdigest()
            with self._target.path.open("rb") as file:
                while data := file.read(_COPY_BYTES):
                    digest.update(data)
                    size += len(data)
        return size, digest.hexdigest()

"""Which files a look takes: each content once, in order of age, never one that is still being written."""

import errno
import glob
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from elspeth_dagster.orchestration import arrivals, contents
from elspeth_dagster.orchestration.arrivals import Arrivals, Arrived
from elspeth_dagster.orchestration.finding import paths_below
from elspeth_dagster.orchestration.seen import Memory
from elspeth_dagster.settings.partitions import file_of_key, watched_folder


class Watcher:
    """Looks again and again, as the sensor does; Dagster's memory is a dictionary."""

    def __init__(self, root: Path, watch: str, settle_seconds: float, limit: int) -> None:
        self.runs: dict[str, Arrived] = {}
        self.warnings: list[str] = []
        self.cursor: str | None = None
        self.waiting = 0
        self.remark = ""
        self.arrivals = Arrivals(
            memory=Memory(root / "memory" / "in.json"), root=root, watch=watch, settle_seconds=settle_seconds,
            earlier=self.runs.get, warn=self.warnings.append, limit=limit,
        )  # fmt: skip

    def look(self) -> list[tuple[str, int]]:
        """Keys and arrivals of what one look takes."""
        found = self.arrivals.look(self.cursor)
        self.cursor, self.waiting, self.remark = found.cursor, found.waiting, found.remark
        self.runs |= {file.key: file for file in found.arrived}
        return [(file.key, file.arrival) for file in found.arrived]


@pytest.fixture
def watching(tmp_path: Path) -> Callable[..., Watcher]:
    (tmp_path / "in").mkdir()

    def make(watch: str = "in/*.csv", settle_seconds: float = 0, limit: int = 100) -> Watcher:
        return Watcher(tmp_path, watch, settle_seconds, limit)

    return make


def put(root: Path, name: str, content: str) -> Path:
    path = root / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_file_is_taken_once_and_again_when_its_content_is_another(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    assert watcher.look() == []
    path = put(tmp_path, "a.csv", "one")
    assert watcher.look() == [("a.csv", 0)]
    assert watcher.look() == []
    path.touch()
    assert watcher.look() == [], "the same content"
    put(tmp_path, "a.csv", "two")
    assert watcher.look() == [("a.csv", 1)]
    put(tmp_path, "a.csv", "one")
    assert watcher.look() == [("a.csv", 2)], "an earlier content is another one too"


def test_a_file_that_comes_back(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    path = put(tmp_path, "a.csv", "one")
    watcher.look()
    path.unlink()
    assert watcher.look() == []
    put(tmp_path, "a.csv", "one")
    assert watcher.look() == [], "the same content"
    path.unlink()
    watcher.look()
    put(tmp_path, "a.csv", "two")
    assert watcher.look() == [("a.csv", 1)]


def test_a_lost_cursor_makes_nothing_run_again(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    for lost in (None, "", "rubbish", "0", "😀"):
        watcher.cursor = lost
        assert watcher.look() == []


@pytest.mark.parametrize(
    "content",
    [
        None, "", "[]", "{", '{"a.csv": 1}', '{"a.csv": ["x"]}', '{"token": "t", "entries": {}}',
        '{"token": "t", "entries": {"a.csv": ["x"]}, "pending": {}}',
    ],
)  # fmt: skip
def test_a_lost_memory_makes_nothing_run_again(
    watching: Callable[..., Watcher], tmp_path: Path, content: str | None
) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    memory = tmp_path / "memory" / "in.json"
    memory.unlink() if content is None else memory.write_text(content)
    assert watcher.look() == []
    put(tmp_path, "a.csv", "two")
    assert watcher.look() == [("a.csv", 1)]


def test_a_look_that_dagster_has_not_taken_does_not_count(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    taken = watcher.cursor
    put(tmp_path, "b.csv", "two")
    assert [file.key for file in watcher.arrivals.look(taken).arrived] == ["b.csv"]
    assert [file.key for file in watcher.arrivals.look(taken).arrived] == ["b.csv"]
    assert watcher.look() == [("b.csv", 0)]
    assert watcher.look() == []


@pytest.mark.parametrize("back", [None, 0, 1, 2], ids=str)
def test_a_look_that_is_only_tried_out_makes_no_file_be_missed(
    watching: Callable[..., Watcher], tmp_path: Path, back: int | None
) -> None:
    """`dagster sensor preview`, and a preview in the UI with a cursor of one's own, look for real."""
    watcher = watching()
    cursors = []
    for name in ("a.csv", "b.csv", "c.csv"):
        put(tmp_path, name, name)
        watcher.look()
        cursors.append(watcher.cursor)
    put(tmp_path, "new.csv", "new")
    for _ in range(8):
        found = watcher.arrivals.look(None if back is None else cursors[back])
        assert [file.key for file in found.arrived] == ["new.csv"]
    assert watcher.look() == [("new.csv", 0)]
    assert watcher.look() == []


def test_two_looks_at_once(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    start = watcher.cursor
    put(tmp_path, "b.csv", "two")
    watcher.look()
    put(tmp_path, "c.csv", "three")
    watcher.arrivals.look(start)
    assert watcher.look() == [("c.csv", 0)]
    assert watcher.look() == []


def test_a_file_that_is_gone_is_no_longer_remembered(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    put(tmp_path, "gone.csv", "one")
    watcher.look()
    (tmp_path / "in" / "gone.csv").unlink()
    for name in ("a.csv", "b.csv"):
        put(tmp_path, name, name)
        watcher.look()
    assert "gone.csv" not in (tmp_path / "memory" / "in.json").read_text()


def test_a_share_that_was_away_brings_nothing_again(
    watching: Callable[..., Watcher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watching()
    folder = put(tmp_path, "a.csv", "one").parent
    assert watcher.look() == [("a.csv", 0)]
    watcher.runs.clear()  # Dagster's old runs are deleted now and then
    folder.rename(tmp_path / "away")
    assert watcher.look() == []
    folder.mkdir()  # where it is mounted
    assert watcher.look() == []
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", mock.Mock(side_effect=OSError(errno.ESTALE, "stale")))
        assert (watcher.look(), watcher.remark) == ([], f"{folder} cannot be looked at: stale")
    assert watcher.look() == []
    put(tmp_path, "a.csv", "two")
    assert watcher.look() == [("a.csv", 1)]


def test_a_cursor_that_was_a_number_runs_nothing_again(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    (tmp_path / "memory" / "in.json").write_text('{"a.csv": ["stamp", "content", 0, 7]}')
    put(tmp_path, "b.csv", "two")
    watcher.cursor = "7"
    assert watcher.look() == [("b.csv", 0)]
    assert watcher.look() == []


def test_drafts_of_the_memory_are_cleaned_up(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "one")
    watcher.look()
    old, new = (tmp_path / "memory" / f"in.json.{name}.tmp" for name in ("old", "new"))
    for draft in (old, new):
        draft.touch()
    os.utime(old, (0, 0))
    put(tmp_path, "b.csv", "two")
    watcher.look()
    assert sorted((tmp_path / "memory").iterdir()) == [tmp_path / "memory" / "in.json", new]


def test_a_file_that_is_being_written_waits(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching(settle_seconds=60)
    path = put(tmp_path, "a.csv", "one")
    assert (watcher.look(), watcher.waiting) == ([], 1)
    os.utime(path, (0, time.time() - 61))
    with path.open("a") as file:
        file.write(" and more")
    assert (watcher.look(), watcher.waiting) == ([], 1)
    os.utime(path, (0, time.time() - 61))
    assert (watcher.look(), watcher.waiting) == ([("a.csv", 0)], 0)


def test_a_time_in_the_future_does_not_keep_a_file_for_ever(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching(settle_seconds=0.1)
    path = put(tmp_path, "a.csv", "one")
    os.utime(path, (time.time() + 9e6, time.time() + 9e6))
    time.sleep(0.2)
    assert watcher.look() == [("a.csv", 0)]


def test_many_at_once_are_taken_oldest_first_and_none_is_forgotten(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching(limit=30)
    names = [f"{number:03}.csv" for number in range(100)]
    for age, name in enumerate(reversed(names)):
        os.utime(put(tmp_path, name, name), (age, age))
    taken = [watcher.look() for _ in range(5)]
    assert [len(look) for look in taken] == [30, 30, 30, 10, 0]
    assert [key for look in taken for key, _ in look] == names[::-1]


def test_only_files_of_the_pattern(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "a")
    put(tmp_path, "b/c.csv", "c")
    put(tmp_path, ".half.csv", "h")
    put(tmp_path, "d.txt", "d")
    (tmp_path / "in" / "folder.csv").mkdir()
    (tmp_path / "in" / "gone.csv").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in" / "pipe.csv")
    assert watching().look() == [("a.csv", 0)]
    assert sorted(watching("in/**/*.csv").look()) == [("a.csv", 0), ("b%2Fc.csv", 0)]


def test_a_file_that_links_lead_to_is_taken_once(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    put(tmp_path, "real/z.csv", "z")
    put(tmp_path, "real/only.csv", "o")
    (tmp_path / "in" / "a.csv").symlink_to(tmp_path / "in" / "real" / "z.csv")
    (tmp_path / "in" / "linked").symlink_to("real")
    (tmp_path / "in" / "real" / "loop").symlink_to("..")
    (tmp_path / "in" / "real" / "again").symlink_to(".")
    expected = [("real%2Fonly.csv", 0), ("real%2Fz.csv", 0)]
    assert sorted(watching("in/**/*.csv").look()) == expected
    (tmp_path / "memory" / "in.json").unlink()
    assert sorted(watching("in/*/*.csv").look()) == expected
    (tmp_path / "memory" / "in.json").unlink()
    assert sorted(watching("in/*/only.csv").look()) == expected[:1]


def test_a_link_to_a_known_file_gives_no_run_but_a_second_name_of_its_own_does(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    path = put(tmp_path, "b.csv", "one")
    watcher.look()
    (tmp_path / "in" / "a.csv").symlink_to(path)
    assert watcher.look() == []
    (tmp_path / "in" / "c.csv").hardlink_to(path)
    assert watcher.look() == [("c.csv", 0)]


def test_the_watched_folder_may_be_a_link(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "a")
    (tmp_path / "there").symlink_to("in")
    assert watching("there/*.csv").look() == [("a.csv", 0)]


@pytest.mark.parametrize(
    "watch",
    ["in/*.csv", "in/**", "in/**/*", "in/**/b/*.csv", "in/*/b/?.csv", "in/a.csv", "in/[ab]/**/*.csv", "in/.*",
     "in/.b/*.csv", "in/**/.b/*", "in/**/**/c.csv", "**/c.csv", "*/a.csv", "in/**c.csv", "in/*/c.csv/x"],
)  # fmt: skip
def test_the_same_files_as_glob_finds(watching: Callable[..., Watcher], tmp_path: Path, watch: str) -> None:
    for name in ("a.csv", "c.csv", ".d.csv", "b/c.csv", "a/b/c.csv", "a/b/b/c.csv", ".b/c.csv", "b/.b/c.csv"):
        put(tmp_path, name, name)
    found = glob.glob(watch, root_dir=tmp_path, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files
    expected = {str(tmp_path / name) for name in found if (tmp_path / name).is_file()}
    folder = tmp_path / watched_folder(watch)
    taken = {file_of_key(key, str(folder)) for key, _ in watching(watch).look()}
    assert taken == expected


def test_a_listing_that_takes_long_leaves_time_to_read(
    watching: Callable[..., Watcher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*wanted: Any) -> list[Path]:
        time.sleep(0.3)
        return list(paths_below(*wanted))

    monkeypatch.setattr(arrivals, "paths_below", slowly)
    watcher = watching()
    watcher.arrivals = replace(watcher.arrivals, look_seconds=0.2)
    put(tmp_path, "a.csv", "a")
    assert watcher.look() == [("a.csv", 0)]
    watcher.arrivals = replace(watcher.arrivals, look_seconds=0)
    for name in ("b.csv", "c.csv"):
        put(tmp_path, name, name)
    assert [len(watcher.look()) for _ in range(3)] == [1, 1, 0], "one at least"


def test_a_look_without_a_file_says_why(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching("inbox/*.csv")
    assert (watcher.look(), watcher.remark) == ([], f"there is no folder {tmp_path / 'inbox'}")
    watcher = watching("in/")
    said = "in/ is a folder; to watch the files in it, write in/*"
    assert (watcher.look(), watcher.remark) == ([], said)
    watcher = watching(settle_seconds=60)
    assert (watcher.look(), watcher.remark) == ([], "no new file")
    put(tmp_path, "a.csv", "a")
    assert (watcher.look(), watcher.remark) == ([], "no new file; 1 not yet settled or readable")


def test_a_look_that_has_no_time_left_says_so(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    path = put(tmp_path, "a.csv", "a")
    watcher.look()
    watcher.arrivals = replace(watcher.arrivals, look_seconds=0)
    put(tmp_path, "b.csv", "b")
    os.utime(path, (1, 1))  # the oldest one is read again, and is no other
    assert watcher.look() == []
    assert watcher.remark == "no new file; 1 not yet settled or readable, or not looked at within 0 seconds"


def test_a_file_that_takes_too_long_to_read_is_told_by_size_and_time(
    watching: Callable[..., Watcher], tmp_path: Path
) -> None:
    watcher = watching()
    watcher.arrivals = replace(watcher.arrivals, look_seconds=0)
    path = put(tmp_path, "long.csv", "x" * 3_000_000)
    os.utime(path, (1, 1))
    assert watcher.look() == [("long.csv", 0)]
    content = watcher.runs["long.csv"].content
    assert content == f"{3_000_000:x}-{10**9:x}"
    path.unlink()
    os.utime(put(tmp_path, "long.csv", "y" * 3_000_000), (1, 1))
    assert watcher.look() == [], "the same size and time"
    watcher.cursor = None
    watcher.arrivals = replace(watcher.arrivals, look_seconds=20)
    assert watcher.look() == [], "with more time it is not another one"
    watcher.runs["long.csv"] = replace(
        watcher.runs["long.csv"], content=f"{3_000_000:x}-{contents.stamp(path.stat())}"
    )
    watcher.cursor = None
    assert watcher.look() == [], "as earlier versions told it"
    path.touch()
    assert watcher.look() == [("long.csv", 1)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.may_skip
def test_what_cannot_be_read_waits(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching()
    put(tmp_path, "a.csv", "a")
    path = put(tmp_path, "b.csv", "b")
    path.chmod(0)
    assert (watcher.look(), watcher.waiting) == ([("a.csv", 0)], 1)
    assert "b.csv cannot be read yet" in watcher.warnings[0]
    path.chmod(0o600)
    assert watcher.look() == [("b.csv", 0)]


def test_the_cursor_stays_small(watching: Callable[..., Watcher], tmp_path: Path) -> None:
    watcher = watching(limit=20_000)
    for number in range(2_000):
        put(tmp_path, f"order-{number:06}.csv", str(number))
    assert len(watcher.look()) == 2_000
    cursor = watcher.cursor
    assert cursor is not None
    assert len(cursor) < 40
    assert watcher.look() == []
    assert watcher.cursor == cursor

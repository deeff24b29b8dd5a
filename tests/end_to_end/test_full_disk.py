"""A disk that is really full, and a limit to the size of files: a run stops, and goes on when it can."""

import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from platforms import BIN, Platform

ROWS = 6_000
PIPELINE = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "rows.csv", "on_validation_failure": "odd",
                           "schema": {"mode": "fixed", "fields": ["id: int", "text: str"]}}},
    "gates": [{"name": "size", "input": "read", "condition": "row['id'] % 2 == 0",
               "routes": {"true": "whole", "false": "more"}}],
    "sinks": {
        "whole": {"plugin": "csv", "options": {"path": "output/whole.csv"}},
        "more": {"plugin": "csv", "options": {"path": "output/more.csv", "mode": "append"}},
        "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}},
    },
    "checkpoint": {"frequency": "every_n", "checkpoint_interval": 2_000},
}  # fmt: skip
OLD = {"whole.csv": b"old\r\n", "more.csv": b"id,text\r\n-1,before\r\n"}
MIB = 1 << 20


def lay_out(platform: Platform) -> Path:
    """A pipeline whose input can hardly be compressed, and what was in its targets before."""
    chance = random.Random(5)
    lines = [f"{n},{chance.randbytes(40 * (1 + n % 9)).hex()}" for n in range(ROWS)]
    lines[17] = "seventeen,odd"
    platform.write("rows.csv", "\n".join(["id,text", *lines]) + "\n")
    write_old(platform)
    return platform.pipeline("big", PIPELINE)


def write_old(platform: Platform) -> None:
    for name, content in OLD.items():
        platform.write(f"output/{name}", content)


def undisturbed(platform: Platform, settings: Path) -> dict[str, bytes]:
    """What a run leaves that has room enough; gone again then."""
    elsewhere = platform.path("elsewhere")
    platform.completed(settings, "--landscape", elsewhere)
    outputs = platform.outputs()
    for name in outputs:
        platform.path(f"output/{name}").unlink()
    write_old(platform)
    return outputs


@pytest.fixture
def disks() -> Iterator[list[Path]]:
    """Takes the small disks of a test, which are gone in the end."""
    mounted: list[Path] = []
    yield mounted
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, disks: list[Path]) -> None:
    """Puts a disk of 16 MiB in a folder's place, with what is in it."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    disks.append(folder)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def fill(folder: Path, room: int) -> Path:
    """Fills a disk but for so many bytes; gives the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(64 << 10))
        file.truncate(file.tell() - room)
    return ballast


@pytest.mark.may_skip
@pytest.mark.parametrize(
    ("place", "rooms", "told"),
    [
        ("output", [100 << 10], "output"),
        ("landscape", [MIB, 3 * MIB], "landscape/segments"),
    ],
    ids=["targets", "landscape"],
)
def test_a_full_disk_stops_a_run_which_goes_on_when_there_is_room(
    platform: Platform, disks: list[Path], place: str, rooms: list[int], told: str
) -> None:
    settings = lay_out(platform)
    expected = undisturbed(platform, settings)
    mount(platform.path(place), disks)
    run_id = None
    for room in rooms:
        ballast = fill(platform.path(place), room)
        answer = platform.run(settings) if run_id is None else platform.resume(run_id)
        assert answer.code == 1
        assert "No space left on device" in answer.err
        assert str(platform.path(told)) in answer.err
        ballast.unlink()
        (run,) = platform.runs()
        run_id = run["run_id"]
        if place == "output":
            assert run["status"] == "failed"
            assert "No space left on device" in run["error"]["message"]
            assert platform.read("output/whole.csv") == OLD["whole.csv"]
    ended(platform, expected)


@pytest.mark.may_skip
def test_a_full_disk_under_dagsters_own_records_is_told_and_the_run_goes_on(
    platform: Platform, disks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lay_out(platform)
    mount(platform.path("disk"), disks)
    monkeypatch.setenv("DAGSTER_HOME", str(platform.path("disk/home")))
    expected = undisturbed(platform, settings)
    ballast = fill(platform.path("disk"), 300 << 10)
    answer = platform.run(settings, process=True)
    assert answer.code == 1
    assert f"Dagster's own records in {platform.path('disk/home')}" in answer.err
    assert answer.json["error"]["type"] == "DagsterHomeError"
    ballast.unlink()
    assert [run["status"] for run in platform.runs()] != ["completed"]
    ended(platform, expected)


@pytest.mark.may_skip
def test_no_room_for_dagsters_own_records_to_begin_with(
    platform: Platform, disks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lay_out(platform)
    home = platform.path("disk/home")
    mount(home.parent, disks)
    home.mkdir()
    ballast = fill(home.parent, 0)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    answer = platform.run(settings, process=True)
    assert answer.code == 1
    assert f"Dagster's own records in {home}" in answer.err
    assert "No space left on device" in answer.err
    assert answer.json["error"]["type"] == "DagsterHomeError"
    ballast.unlink()
    answer = platform.run(settings, process=True)
    assert answer.code == 0, answer.err
    assert "run_monitoring" in (home / "dagster.yaml").read_text()


def ended(platform: Platform, expected: dict[str, bytes]) -> None:
    """Resumes the one run, which has to end as if nothing had been."""
    (stopped,) = platform.runs()
    resumed = platform.resume(stopped["run_id"])
    assert resumed.code == 0, resumed.err
    assert platform.outputs() == expected
    counts = {"rows_in": ROWS, "succeeded": ROWS - 1, "failed": 0, "quarantined": 1}
    assert {name: resumed.json[name] for name in counts} == counts
    assert platform.elspeth("purge", "--json").json["files"] == 0


def test_a_limit_to_the_size_of_files_stops_a_run_which_goes_on_without_it(platform: Platform) -> None:
    """What a user without the rights to mount anything can have."""
    settings = lay_out(platform)
    expected = undisturbed(platform, settings)
    limited = (
        f"ulimit -f 1024; exec {shlex.quote(str(BIN / 'elspeth'))} run {shlex.quote(str(settings))} --json"
    )
    answer = platform.execute("bash", "-c", limited)
    assert answer.code == 1
    assert "File too large" in answer.json["error"]["message"]
    assert platform.read("output/whole.csv") == OLD["whole.csv"]
    ended(platform, expected)

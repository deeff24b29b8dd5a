"""What stopping costs, and what being able to stop costs.

    python benchmarks/resume.py [ROWS] [CHUNKS]

1. The gate pipeline is killed after 90 % of the time that an undisturbed run took, and resumed: the resume's
   seconds against the undisturbed run's.
2. A run with many committed chunks is killed and resumed: the time from the attempt to its first commit.
3. The gate pipeline with and without fsync, in turns: what durability costs.
"""

import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gate import SETTINGS
from measure import generate, pipeline

ELSPETH = [sys.executable, "-m", "elspeth_dagster.cli"]
WITHOUT_FSYNC = """
import sys
from elspeth_dagster.landscape import storage
storage._fsync = lambda fd: None
from elspeth_dagster.cli.commands import main
sys.argv = ["elspeth", "run", sys.argv[1], "--json"]
main()
"""
TURNS, FEW_ROWS = 3, 100_000


def main() -> None:
    """Measures and prints."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chunks = int(sys.argv[2]) if len(sys.argv) > 2 else min(10_000, rows // 100)
    with tempfile.TemporaryDirectory(prefix="elspeth-resume-") as name:
        root = Path(name)
        generate(root / "input.csv", rows)
        _after_most_of_it(root)
        _behind_many_chunks(root, chunks)
        _durability(root, TURNS if rows >= FEW_ROWS else 1)


def _after_most_of_it(root: Path) -> None:
    whole = pipeline(_folder(root, "whole", SETTINGS), "gate.yaml")
    folder = _folder(root, "killed", SETTINGS)
    with _started(folder) as process:
        _wait(lambda: _one(folder, "SELECT started_at FROM attempts"))
        time.sleep(max(0.0, 0.9 * whole.seconds))
        _kill(process)
    left = _resume(folder)
    for name in ("high.csv", "low.csv", "bad.jsonl"):
        assert (folder / "out" / name).read_bytes() == (root / "whole/out" / name).read_bytes(), name
    allowed = 0.2 * whole.seconds + 1
    print(f"undisturbed            {whole.seconds:.2f} s")
    print(f"resumed after 90 %     {left['seconds']:.2f} s (allowed are {allowed:.2f} s)")
    print(f"resumed / undisturbed  {left['seconds'] / whole.seconds:.2f}")


def _behind_many_chunks(root: Path, chunks: int) -> None:
    """One row to a chunk; killed when all but some of them are swept."""
    cut = SETTINGS + "checkpoint: {frequency: every_n, checkpoint_interval: 1}\n"
    folder = _folder(root, "chunks", cut)
    with _started(folder, "--limit", str(chunks)) as process:
        _wait(
            lambda: (_one(folder, "SELECT max(ordinal) FROM commits WHERE phase = 4") or 0) >= 0.95 * chunks
        )
        _kill(process)
    began = time.perf_counter()
    left = _resume(folder)
    opening = _one(
        folder,
        """SELECT (julianday(min(committed_at)) - julianday((SELECT max(started_at) FROM attempts))) * 86400
           FROM commits WHERE attempt = 2""",
    )
    print(f"to the first commit    {opening:.2f} s behind {chunks:,} chunks, of {left['seconds']:.2f} s")
    print(f"with interpreter start {time.perf_counter() - began:.2f} s")


def _durability(root: Path, turns: int) -> None:
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(turns):
        for how, taken in seconds.items():
            folder = _folder(root, f"{how}_fsync", SETTINGS)
            command = [sys.executable, "-c", WITHOUT_FSYNC, "gate.yaml"]
            if how == "with":
                taken.append(pipeline(folder, "gate.yaml").seconds)
            else:
                taken.append(json.loads(_answer(folder, command))["seconds"])
            shutil.rmtree(folder)
    with_it, without = (statistics.median(taken) for taken in seconds.values())
    print(f"with / without fsync   {with_it / without:.2f} ({with_it:.2f} s, {without:.2f} s)")


def _folder(root: Path, name: str, settings: str) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "input.csv").symlink_to(root / "input.csv")
    (folder / "gate.yaml").write_text(settings)
    return folder


def _environment(folder: Path) -> dict[str, str]:
    places = {
        "ELSPETH_ROOT": folder,
        "ELSPETH_LANDSCAPE": folder / "landscape",
        "DAGSTER_HOME": folder / "home",
    }
    return os.environ | {name: str(place) for name, place in places.items()}


def _started(folder: Path, *args: str) -> "subprocess.Popen[bytes]":
    command = [*ELSPETH, "run", "gate.yaml", "--json", *args]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _resume(folder: Path) -> dict[str, Any]:
    run_id = _one(folder, "SELECT run_id FROM runs")
    facts: dict[str, Any] = json.loads(_answer(folder, [*ELSPETH, "resume", run_id, "--json"]))
    assert facts["status"] == "completed", facts
    return facts


def _answer(folder: Path, command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return done.stdout.decode()


def _one(folder: Path, sql: str) -> Any:
    """The one value that the catalogue answers with; `None` before it is there."""
    catalogue = folder / "landscape" / "catalogue.db"
    if not catalogue.exists():
        return None
    connection = sqlite3.connect(catalogue, timeout=30)
    try:
        found = connection.execute(sql).fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return None if found is None else found[0]


def _wait(look: Any) -> Any:
    deadline = time.monotonic() + 600
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError("the run does not get there")
        time.sleep(0.01)
    return found


if __name__ == "__main__":
    main()

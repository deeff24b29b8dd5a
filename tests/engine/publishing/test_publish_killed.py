import multiprocessing

import pytest
from killed_publish import publish_and_die
from publish_case import csv_sink

ROWS = [{"id": i, "name": "x" * i} for i in range(200)]
OLD = b"id,name\r\nold,row\r\n"
LINES = b"".join(b"%d,%s\r\n" % (i, b"x" * i) for i in range(200))
CASES = [
    ("write", "written", OLD),
    ("write", "renaming", OLD),
    ("write", "renamed", b"id,name\r\n" + LINES),
    ("write", "committed", b"id,name\r\n" + LINES),
    ("append", "appending", OLD),
    ("append", "half appended", OLD + LINES[: len(LINES) // 2]),
    ("append", "appended", OLD + LINES),
    ("append", "committed", OLD + LINES),
]


@pytest.mark.parametrize(("mode", "instant", "left"), CASES, ids=[f"{mode}-{at}" for mode, at, _ in CASES])
def test_a_publish_that_was_killed_is_made_good(case, mode, instant, left):
    sink = csv_sink(mode=mode)
    case.sweep(sink, ROWS[:150])
    case.sweep(sink, ROWS[150:], rows=range(150, 200))
    (case.root / "out").mkdir()
    (case.root / "out/rows.csv").write_bytes(OLD)
    arguments = (case.root, case.attempt.dagster_run_id, mode, instant)
    process = multiprocessing.get_context("spawn").Process(target=publish_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -9
    assert case.read() == left
    resumed = case.resumed()
    artifact = resumed.publish(sink)
    assert case.read() == (b"id,name\r\n" if mode == "write" else OLD) + LINES
    assert (artifact.rows, artifact.size_bytes) == (200, len(case.read()))
    assert case.files() == ["rows.csv"]
    assert resumed.tallies() == {("out", "in", "", ""): 200, ("out", "ended", "completed", "out"): 200}

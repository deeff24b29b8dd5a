import multiprocessing

import pytest
from databases import KINDS, new_target
from killed_database import INSTANTS, PART_ROWS, publish_and_die, sink_of

from elspeth_dagster.engine import publish_database

ROWS = [{"id": i % 90, "name": None if i % 31 == 7 else "x" * i} for i in range(110)]
"""Twenty ids come twice, and some names are null."""
TABLE = "CREATE TABLE people (id INTEGER UNIQUE, name TEXT NOT NULL)"
REPLACED = ("table made", "table committed", "half a part inserted", "part committed")
CASES = [
    *(("append", instant) for instant in INSTANTS if instant != "table made"),
    *(("replace", instant) for instant in REPLACED),
]


@pytest.fixture(params=KINDS)
def target(request, tmp_path):
    with new_target(request.param, tmp_path) as made:
        yield made


def swept(case, sink):
    case.sweep(sink, ROWS[:70])
    case.sweep(sink, ROWS[70:], rows=range(70, 110))
    return case


def state(case, target, artifact):
    """Everything that is left of a publish."""
    rows = target.query("SELECT id, name FROM people ORDER BY id, length(name)")
    errors = [(row["row"], row["reason"]) for row in case.table("errors")]
    markers = target.query("SELECT * FROM elspeth_markers")
    return rows, errors, markers, case.tallies(), artifact.rows, artifact.sha256


@pytest.mark.parametrize(("mode", "instant"), CASES, ids=[f"{mode}-{at}" for mode, at in CASES])
def test_a_killed_publish_into_a_table_is_made_good(case, target, mode, instant, monkeypatch):
    monkeypatch.setattr(publish_database, "_PART_ROWS", PART_ROWS)
    sink = sink_of(target, mode)
    whole = swept(case.new(case.landscape, case.root), sink)
    target.query(TABLE)
    expected = state(whole, target, whole.publish(sink))
    target.query("DROP TABLE people")
    target.query("DROP TABLE elspeth_markers")
    target.query(TABLE)
    swept(case, sink)
    # Forked from a process that has loaded everything, and nothing else.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_database"])
    arguments = (case.root, case.attempt.dagster_run_id, target, mode, instant)
    process = context.Process(target=publish_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -9
    resumed = case.resumed()
    assert state(resumed, target, resumed.publish(sink)) == expected
    assert len(expected[0]) + len(expected[1]) == len(ROWS)
    assert bool(expected[1]) is (mode == "append")

"""What is asked while one chunk is worked on is found by keys, however many chunks a run has."""

from landscape_drafts import request as attempt_request
from sqlalchemy import event

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import Phase


def test_what_one_commit_owns_is_found_by_the_commit(sqlite_places, tmp_path):
    plans: list[str] = []

    def look(_connection, cursor, statement, parameters, *_):
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in cursor.fetchall())

    with Landscape.open(sqlite_places.migrated(tmp_path)) as landscape:
        run_id = ensure_attempt(landscape, attempt_request()).run_id
        event.listen(landscape.engine, "before_cursor_execute", look)
        reads.segments_of(landscape, run_id, phase=Phase.SOURCE, node="source", ordinal=3, table="records")
        reads.parts_of(landscape, run_id, Phase.PROCESS, "stage_0", 3)
        list(reads.parts_in_stream(landscape, run_id, "out", (Phase.PROCESS, "stage_0")))
    found = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH"))]
    assert len(found) == 6
    assert not [plan for plan in found if plan.startswith("SCAN")]
    whole_key = "(run_id=? AND phase=? AND node=? AND ordinal=?)"
    assert sum(plan.startswith("SEARCH commits") and plan.endswith(whole_key) for plan in found) == 2

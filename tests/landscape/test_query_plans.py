"""What is asked while one chunk is worked on is found by keys, however many chunks a run has."""

from contextlib import contextmanager

import pytest
from landscape_drafts import part
from landscape_drafts import request as attempt_request
from sqlalchemy import event

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.model import Phase


@pytest.fixture
def landscape(sqlite_places, tmp_path):
    with Landscape.open(sqlite_places.migrated(tmp_path)) as opened:
        yield opened


@contextmanager
def explained(landscape):
    """How the database goes about what is asked meanwhile: a line for each table that it looks into."""
    plans: list[str] = []

    def look(_connection, cursor, statement, parameters, *_):
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in cursor.fetchall() if row[3].startswith(("SCAN", "SEARCH")))

    event.listen(landscape.engine, "before_cursor_execute", look)
    yield plans
    event.remove(landscape.engine, "before_cursor_execute", look)


def test_what_one_commit_owns_is_found_by_the_commit(landscape):
    run_id = ensure_attempt(landscape, attempt_request()).run_id
    with explained(landscape) as plans:
        reads.segments_of(landscape, run_id, phase=Phase.SOURCE, node="source", ordinal=3, table="records")
        reads.parts_of(landscape, run_id, Phase.PROCESS, "stage_0", 3)
    assert len(plans) == 4
    assert not [plan for plan in plans if plan.startswith("SCAN")]
    whole_key = "(run_id=? AND phase=? AND node=? AND ordinal=?)"
    assert sum(plan.startswith("SEARCH commits") and plan.endswith(whole_key) for plan in plans) == 2


def test_a_page_of_parts_is_found_by_its_commits(landscape):
    attempt = ensure_attempt(landscape, attempt_request())
    key = CommitKey(Phase.PROCESS, "stage_0", 0)
    commit(landscape, attempt, CommitDraft(key, parts=(part(landscape, attempt, key),)))
    with explained(landscape) as plans:
        assert len(list(reads.parts_in_stream(landscape, attempt.run_id, "out", (key.phase, key.node)))) == 1
    assert len(plans) == 3
    assert sum(plan.startswith("SEARCH parts") and "(commit_id=? AND sink=?)" in plan for plan in plans) == 1

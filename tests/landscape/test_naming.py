"""How a person names a run: by its id, the beginning of it, or its pipeline."""

from datetime import UTC, datetime, timedelta

import pytest
from landscape_drafts import request as attempt_request
from sqlalchemy import event, insert, select

from elspeth_dagster.landscape import schema
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import AmbiguousRunError, NoSuchRunError, PipelineNamedError
from elspeth_dagster.landscape.naming import run_to_change, run_to_read

WAYS = pytest.mark.parametrize("resolve", [run_to_read, run_to_change])


@pytest.fixture
def known(landscape):
    """Eleven runs: of each second, one of `ones` and one of `others`, and an old one of `others`."""
    ensure_attempt(landscape, attempt_request())
    with landscape.transaction() as connection:
        template = dict(connection.execute(select(schema.runs)).mappings().one())
        connection.execute(schema.attempts.delete())
        connection.execute(schema.runs.delete())
        for number in range(10):
            _add(connection, template, f"20261126-20000{number // 2}-{number:x}aaaaaaa", number)
        _add(connection, template, "20250101-000000-ffffffff", -100)
    return landscape


def _add(connection, template, run_id, minutes):
    own = {
        "run_id": run_id,
        "pipeline": "others" if minutes % 2 else "ones",
        "created_at": datetime(2026, 11, 26, 20, tzinfo=UTC) + timedelta(minutes=minutes),
    }
    connection.execute(insert(schema.runs).values(**template | own))


@WAYS
def test_an_id_and_what_only_one_id_begins_with_name_a_run(known, resolve):
    for said in ("20261126-200002-5aaaaaaa", "20261126-200002-5"):
        assert resolve(known, said) == "20261126-200002-5aaaaaaa"
    assert resolve(known, "2025") == "20250101-000000-ffffffff"


@WAYS
def test_what_several_ids_begin_with_lists_some(known, resolve):
    with pytest.raises(AmbiguousRunError) as two:
        resolve(known, "20261126-200003")
    assert "20261126-200003-6aaaaaaa, 20261126-200003-7aaaaaaa;" in str(two.value)
    with pytest.raises(AmbiguousRunError) as many:
        resolve(known, "2026")
    assert str(many.value).count("20261126-") == 5
    assert "…" in str(many.value)


def test_a_pipeline_stands_for_its_newest_run_where_nothing_is_changed(known):
    assert run_to_read(known, "ones") == "20261126-200004-8aaaaaaa"
    assert run_to_read(known, "others") == "20261126-200004-9aaaaaaa"
    with pytest.raises(PipelineNamedError, match=r"'ones' is a pipeline; .* 20261126-200004-8aaaaaaa"):
        run_to_change(known, "ones")


@WAYS
def test_an_unknown_one_is_answered_with_the_nearest(known, resolve):
    with pytest.raises(NoSuchRunError, match="did you mean 20261126-200003-7aaaaaaa") as error:
        resolve(known, "20261126-20003-7aaaaaaa")
    assert str(error.value).endswith("elspeth runs lists them")
    with pytest.raises(NoSuchRunError, match=r"(?<!\?) elspeth runs lists them") as error:
        resolve(known, "zzz")
    assert "did you mean" not in str(error.value)
    with pytest.raises(NoSuchRunError):
        resolve(known, "")
    with pytest.raises(NoSuchRunError):
        resolve(known, "20261126-200002-5aaaaaaa0")


def test_a_pipeline_that_is_nearly_named_is_answered_with_it(known):
    with pytest.raises(NoSuchRunError, match="did you mean others"):
        run_to_read(known, "other")


def test_one_short_question_finds_a_run_by_the_key(sqlite_places, tmp_path):
    plans = []

    def look(_connection, cursor, statement, parameters, *_):
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in cursor.fetchall())

    with Landscape.open(sqlite_places.migrated(tmp_path)) as landscape:
        run_id = ensure_attempt(landscape, attempt_request()).run_id
        event.listen(landscape.engine, "before_cursor_execute", look)
        assert run_to_change(landscape, run_id[:8]) == run_id
    (plan,) = [plan for plan in plans if plan.startswith(("SCAN", "SEARCH", "USE"))]
    assert plan.startswith("SEARCH runs USING COVERING INDEX")

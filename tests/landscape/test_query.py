import datetime as dt
from dataclasses import replace

import pyarrow as pa
import pytest
from landscape_drafts import (
    part,
    records_table,
    refusals_table,
    request,
    row_hash,
    source_draft,
    states_table,
    sweep_draft,
    token,
    tokens_table,
    versions_table,
)

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import ArtifactFacts, CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.errors import DamagedRecordError, QueryError
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.landscape.query import query
from elspeth_dagster.rows.tokens import PathKind, child, root_token, token_text

# What DuckDB makes of a query does not depend on where the catalogue is.
ON_SQLITE = pytest.mark.parametrize("places", ["sqlite"], indirect=True)


def rows_of(landscape, sql, **options):
    return query(landscape, sql, **options).to_pylist()


def publish(landscape, attempt, sink, refusals=None):
    tables = {} if refusals is None else {"refusals": refusals}
    artifact = ArtifactFacts(sink, f"/{sink}.csv", "csv", 1, 1, "ab", {})
    commit(landscape, attempt, CommitDraft(CommitKey(Phase.SINK, sink, 0), tables=tables, artifact=artifact))


@pytest.fixture
def swept(landscape, attempt):
    """A run whose rows 0 to 4 were read and swept, in two chunks."""
    for ordinal, rows in enumerate(([0, 1, 2], [3, 4])):
        commit(landscape, attempt, source_draft(ordinal, rows=rows))
        commit(landscape, attempt, sweep_draft(ordinal, rows=rows))
    return attempt


def test_the_catalogue_is_there_with_instants_and_json(landscape, swept):
    (run,) = rows_of(
        landscape, "SELECT run_id, status, created_at, settings ->> 'source' AS source FROM runs"
    )
    assert run == {
        "run_id": swept.run_id,
        "status": "running",
        "created_at": swept.run_created_at.astimezone(dt.UTC),
        "source": "csv",
    }
    (total,) = rows_of(landscape, "SELECT sum(count)::INT AS n FROM tallies WHERE measure = 'in'")
    assert total == {"n": 5}
    assert rows_of(landscape, "SELECT cursor ->> 'inode' AS i FROM chunks LIMIT 1") == [{"i": str(2**63 + 1)}]


def test_what_serves_the_work_is_no_part_of_the_record(landscape, swept):
    names = {row["name"] for row in rows_of(landscape, "SHOW TABLES")}
    assert {"runs", "attempts", "commits", "tokens", "states", "outcomes", "records"} <= names
    assert not [name for name in names if name.startswith("ops_")]
    with pytest.raises(QueryError, match="ops_processes does not exist"):
        query(landscape, "SELECT * FROM ops_processes")


def test_records_show_the_source_as_received(landscape, swept):
    found = rows_of(landscape, 'SELECT record, line, "c:name" AS name FROM records ORDER BY record')
    assert found == [{"record": row, "line": row + 2, "name": f"n{row}"} for row in range(5)]


def test_states_show_hashes_beside_routes(landscape, swept):
    found = rows_of(landscape, 'SELECT * EXCLUDE (run_id) FROM states WHERE "row" = 3')
    assert found == [
        {
            "token": token(3).hex(),
            "row": 3,
            "node": "gate",
            "try": 1,
            "status": "completed",
            "input_version": 0,
            "output_version": None,
            "input_hash": row_hash(3, 0).hex(),
            "output_hash": None,
            "label": "true",
            "to": "out",
            "mode": "move",
            "reads": '{"amount":5}',
            "outcome": "completed",
            "batch": None,
        }
    ]


def test_tables_with_nothing_recorded_are_empty(landscape, attempt):
    for name in ("records", "tokens", "versions", "states", "errors", "refusals", "outcomes", "artifacts"):
        assert query(landscape, f"SELECT * FROM {name}").num_rows == 0


def test_a_token_is_bound_for_its_sink_until_that_is_published(landscape, swept):
    counted = "SELECT outcome, sink, node, count(*) AS n FROM outcomes GROUP BY ALL"
    assert rows_of(landscape, counted) == [{"outcome": None, "sink": "out", "node": "out", "n": 5}]
    publish(landscape, swept, "out")
    assert rows_of(landscape, counted) == [{"outcome": "completed", "sink": "out", "node": "out", "n": 5}]


def test_a_token_that_ends_without_a_sink_has_its_outcome_at_once(landscape, attempt):
    discarded = states_table([0], "source", to=None, outcome="quarantined")
    commit(landscape, attempt, sweep_draft(tables={"states": discarded}, tallies=()))
    assert rows_of(landscape, "SELECT token, outcome, sink, node FROM outcomes") == [
        {"token": token(0).hex(), "outcome": "quarantined", "sink": None, "node": "source"}
    ]


def test_a_refused_row_ends_as_its_refusal_says(landscape, swept):
    publish(landscape, swept, "out", refusals_table([1], "out", outcome="failed", to=None))
    found = rows_of(landscape, 'SELECT "row", outcome, sink, node FROM outcomes ORDER BY "row"')
    assert found[1] == {"row": 1, "outcome": "failed", "sink": None, "node": "out"}
    assert {row["outcome"] for row in found if row["row"] != 1} == {"completed"}


def test_a_row_refused_by_one_sink_is_delivered_by_another_or_refused_there_too(landscape, swept):
    refused = refusals_table([1, 2], "out", outcome="quarantined", to="bad")
    publish(landscape, swept, "out", refused)
    of_refused = 'SELECT "row", outcome, sink, node FROM outcomes WHERE "row" IN (1, 2) ORDER BY "row"'
    assert [row["outcome"] for row in rows_of(landscape, of_refused)] == [None, None]
    publish(landscape, swept, "bad", refusals_table([2], "bad", outcome="failed", to=None))
    assert rows_of(landscape, of_refused) == [
        {"row": 1, "outcome": "quarantined", "sink": "bad", "node": "out"},
        {"row": 2, "outcome": "failed", "sink": None, "node": "bad"},
    ]
    assert query(landscape, "SELECT * FROM outcomes").num_rows == 5


def test_only_what_is_committed_is_seen(landscape, swept):
    folder = landscape.location.segments / swept.run_id / "1"
    (segment, *_) = reads.segments_of(landscape, swept.run_id, table="tokens")
    stray = landscape.location.segments / segment.path
    (folder / "stray.parquet").write_bytes(stray.read_bytes())
    part(landscape, swept, CommitKey(Phase.PROCESS, "stage_0", 9))
    assert query(landscape, "SELECT * FROM tokens").num_rows == 5


def test_a_query_can_be_held_to_one_run(landscape, swept):
    other = ensure_attempt(landscape, request("d2", pipeline="returns"))
    commit(landscape, other, sweep_draft(rows=(0,)))
    commit(landscape, other, source_draft(rows=(0,)))
    both = "SELECT run_id, count(*) AS n FROM tokens GROUP BY ALL ORDER BY n"
    assert [row["n"] for row in rows_of(landscape, both)] == [1, 5]
    assert rows_of(landscape, both, run_id=other.run_id) == [{"run_id": other.run_id, "n": 1}]
    assert rows_of(landscape, "SELECT pipeline FROM runs", run_id=other.run_id) == [{"pipeline": "returns"}]
    assert query(landscape, "SELECT * FROM states", run_id=other.run_id).num_rows == 1
    assert query(landscape, "SELECT * FROM records").num_rows == 6


def test_runs_with_different_headers_share_one_table_of_records(landscape, swept):
    other = ensure_attempt(landscape, request("d2", pipeline="returns"))
    table = records_table([0], ["x"]).rename_columns(
        ["record", "line", "arrived_us", "raw", "problem", "problem_record", 'c:ünï "q"']
    )
    commit(landscape, other, replace(source_draft(rows=(0,)), tables={"records": table}))
    found = rows_of(
        landscape, 'SELECT "c:name" AS a, "c:ünï ""q""" AS b FROM records ORDER BY b NULLS LAST, a LIMIT 2'
    )
    assert found == [{"a": None, "b": "x"}, {"a": "n0", "b": None}]


def test_only_the_files_that_a_query_needs_are_touched(landscape, swept):
    for segment in reads.segments_of(landscape, swept.run_id, table="versions"):
        (landscape.location.segments / segment.path).unlink()
    assert query(landscape, "SELECT * FROM tokens").num_rows == 5
    assert query(landscape, "SELECT * FROM states WHERE false", run_id="another").num_rows == 0
    with pytest.raises(DamagedRecordError, match="found no file"):
        query(landscape, "SELECT * FROM versions")
    with pytest.raises(DamagedRecordError, match="found no file"):
        query(landscape, "WITH s AS (SELECT * FROM STATES) SELECT 1 FROM s")


def test_a_segment_of_another_size_is_named(landscape, swept):
    (segment, *_) = reads.segments_of(landscape, swept.run_id, table="tokens")
    path = landscape.location.segments / segment.path
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(
        DamagedRecordError, match=rf"expected {segment.bytes} bytes, found {segment.bytes + 1} bytes"
    ):
        query(landscape, "SELECT * FROM tokens")


def test_token_text_shows_tokens_as_they_are_shown_elsewhere(landscape):
    ids = [
        root_token(0),
        root_token(2**40),
        child(root_token(42), PathKind.FORK, 1),
        child(child(root_token(42), PathKind.EXPLODE, 256), PathKind.MERGE, 0),
        child(root_token(7), PathKind.BATCH, 2**63 - 1),
        child(child(root_token(1), PathKind.FORK, 0x0101), PathKind.FORK, 0x010203),
    ]
    for identity in ids:
        sql = f"SELECT token_text('{identity.hex()}') AS shown, row_of(from_hex('{identity.hex()}')) AS r"
        (found,) = rows_of(landscape, sql)
        assert found == {"shown": token_text(identity), "r": int.from_bytes(identity[:8], "big")}


def test_a_query_sees_what_was_committed_when_it_began_while_a_writer_goes_on(landscape, swept):
    with Landscape.open(landscape.location) as other:
        with landscape.transaction():
            assert query(other, "SELECT * FROM runs").num_rows == 1
        commit(landscape, swept, sweep_draft(2, rows=[5]))
        assert query(other, "SELECT * FROM tokens").num_rows == 6


def test_large_tables_are_read_by_the_columns_that_are_asked_for(landscape, attempt):
    rows = list(range(20_000))
    tables = {"tokens": tokens_table(rows), "versions": versions_table(rows, 0)}
    commit(landscape, attempt, sweep_draft(tables=tables, tallies=()))
    found = query(landscape, 'SELECT max("row") AS last, count(DISTINCT token) AS n FROM tokens')
    assert found.to_pylist() == [{"last": 19_999, "n": 20_000}]
    assert isinstance(found, pa.Table)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS one",
        "VALUES (1)",
        "FROM runs",
        "TABLE runs",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT * FROM t",
        "SELECT status FROM main.runs UNION ALL SELECT 'x'",
        "(SELECT 1)",
        "SELECT 1;",
        "-- why\nSELECT 1 /* ; DROP TABLE runs */",
        "SELECT ';' AS semicolon",
        "DESCRIBE runs",
        "SUMMARIZE runs",
        "SELECT * FROM (PIVOT tallies ON measure IN ('in', 'out') USING sum(count) GROUP BY node)",
        "SELECT list_transform([1, 2], lambda x: x + 1) AS l",
        "SELECT * FROM range(3)",
        "SELECT count(*) FROM runs GROUP BY ALL",
    ],
)
@ON_SQLITE
def test_one_select_is_answered(landscape, swept, sql):
    assert query(landscape, sql).num_columns >= 1


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "   -- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE runs",
        "COPY runs TO '{here}/out.csv'",
        "COPY (SELECT 1) TO '{here}/out.parquet' (FORMAT parquet)",
        "WITH x AS (COPY runs TO '{here}/out.csv') SELECT 1",
        "SELECT * FROM (WITH x AS (COPY runs TO '{here}/out.csv') SELECT 1)",
        "WITH x AS (INSERT INTO runs VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
        "WITH x AS (UPDATE runs SET status = 'x' RETURNING *) SELECT * FROM x",
        "EXPORT DATABASE '{here}/out'",
        "ATTACH '{here}/out.db'",
        "ATTACH '{here}/catalogue.db' (TYPE sqlite)",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SET threads = 1",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "INSERT INTO runs SELECT * FROM runs",
        "UPDATE runs SET status = 'completed'",
        "DELETE FROM runs",
        "DROP VIEW tokens",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE COPY runs TO '{here}/out.csv'",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "USE memory",
        "VACUUM",
        "CHECKPOINT",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM Query('SELECT 1')",
        "SELECT * FROM query_table('runs')",
        "SELECT * FROM read_csv('{here}/secret.csv')",
        "SELECT * FROM read_parquet('{here}/secret.parquet')",
        "SELECT * FROM parquet_scan('{here}/secret.parquet')",
        "SELECT * FROM read_json('{here}/secret.csv')",
        "SELECT * FROM read_text('{here}/secret.csv')",
        "SELECT * FROM read_blob('{here}/secret.csv')",
        "SELECT * FROM glob('{here}/*')",
        "SELECT * FROM '{here}/secret.csv'",
        "SELECT * FROM '{here}/secret.parquet'",
        "FROM '{here}/secret.csv'",
        "SELECT * FROM sqlite_scan('{here}/catalogue.db', 'runs')",
        "SELECT * FROM 'https://example.invalid/x.parquet'",
        "SELECT getenv('HOME')",
        "SELECT * FROM landscape",
        "SELECT * FROM sql",
        "SELEC 1",
        "SELECT FROM runs",
        "SELECT * FROM nothing_of_the_kind",
        "SELECT $1",
        "SELECT " + " + ".join(["1"] * 900),
        "SELECT " + " + ".join(["1"] * 5000),
    ],
)
@ON_SQLITE
def test_everything_else_is_refused_and_changes_nothing(landscape, attempt, tmp_path, sql):
    (tmp_path / "secret.csv").write_text("secret\n")
    (tmp_path / "secret.parquet").write_text("secret")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(QueryError) as caught:
        query(landscape, sql.format(here=tmp_path))
    assert "secret\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert reads.run(landscape, attempt.run_id).status == "running"


def test_names_around_the_query_are_no_tables(landscape, attempt):
    runs = pa.table({"mine": [1]})
    assert runs.num_rows == 1
    assert query(landscape, "SELECT * FROM runs").column_names[0] == "run_id"

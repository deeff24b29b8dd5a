"""Requests, drafts and tables as an engine would hand them over."""

import hashlib
import multiprocessing
from dataclasses import replace

import pyarrow as pa
from sqlalchemy import select

from elspeth_dagster.accounting import Measure, Tally
from elspeth_dagster.landscape import schema
from elspeth_dagster.landscape.attempts import AttemptRequest, ensure_attempt
from elspeth_dagster.landscape.commits import ChunkFacts, CommitDraft, CommitKey, PartFile, attempt_file
from elspeth_dagster.landscape.model import Phase

WORD = pa.dictionary(pa.int32(), pa.string())


def request(dagster_run_id="d1", **changes):
    base = AttemptRequest(
        pipeline="orders",
        dagster_run_id=dagster_run_id,
        parent_dagster_runs=(),
        continues=False,
        run_id=None,
        settings={"source": "csv"},
        settings_digest="s1",
        launch={"limit": None},
        engine_version="0.1.0",
        code={"gate": "abc"},
        dagster_finished=lambda _run: None,
        comparable=lambda stored, now: [] if stored == now else [f"source: {stored} became {now}"],
    )
    return replace(base, **changes)


def token(row, *path):
    return row.to_bytes(8, "big") + b"".join(bytes((kind, 1, ordinal)) for kind, ordinal in path)


def words(values):
    return pa.array(values, pa.string()).dictionary_encode().cast(WORD)


def tokens_table(rows):
    n = len(rows)
    return pa.table(
        {
            "token": pa.array([token(row) for row in rows], pa.binary()),
            "row": pa.array(rows, pa.int64()),
            "parents": pa.array([None] * n, pa.list_(pa.binary())),
            "created_by": words(["source"] * n),
            "branch": words([None] * n),
            "batch": pa.array([None] * n, pa.int64()),
        }
    )


def versions_table(rows, version):
    return pa.table(
        {
            "token": pa.array([token(row) for row in rows], pa.binary()),
            "version": pa.array([version] * len(rows), pa.int16()),
            "hash": pa.array([row_hash(row, version) for row in rows], pa.binary(32)),
        }
    )


def row_hash(row, version):
    return hashlib.sha256(f"{row}/{version}".encode()).digest()


def states_table(rows, node="gate", *, to="out", outcome="completed"):
    n = len(rows)
    return pa.table(
        {
            "token": pa.array([token(row) for row in rows], pa.binary()),
            "node": words([node] * n),
            "try": pa.array([1] * n, pa.int16()),
            "status": words(["completed"] * n),
            "input_version": pa.array([0] * n, pa.int16()),
            "output_version": pa.array([None] * n, pa.int16()),
            "label": words(["true"] * n),
            "to": words([to] * n),
            "mode": words(["move"] * n),
            "reads": pa.array(['{"amount":5}'] * n, pa.string()),
            "outcome": words([outcome] * n),
            "batch": pa.array([None] * n, pa.int64()),
        }
    )


def refusals_table(rows, node, *, outcome, to):
    n = len(rows)
    return pa.table(
        {
            "token": pa.array([token(row) for row in rows], pa.binary()),
            "node": words([node] * n),
            "reason": pa.array(['{"reason":"unknown column"}'] * n, pa.string()),
            "outcome": words([outcome] * n),
            "to": words([to] * n),
        }
    )


def records_table(rows, texts):
    n = len(rows)
    return pa.table(
        {
            "record": pa.array(rows, pa.int64()),
            "line": pa.array([row + 2 for row in rows], pa.int64()),
            "arrived_us": pa.array([7] * n, pa.int64()),
            "raw": pa.array([None] * n, pa.binary()),
            "problem": pa.array([None] * n, pa.string()),
            "problem_record": pa.array([None] * n, pa.string()),
            "c:name": pa.array(texts, pa.string()),
        }
    ).replace_schema_metadata({b"elspeth.records": b'{"form":"cells"}'})


def source_draft(ordinal=0, *, rows=(0, 1, 2), texts=None):
    rows = list(rows)
    return CommitDraft(
        CommitKey(Phase.SOURCE, "source", ordinal),
        tables={"records": records_table(rows, texts or [f"n{row}" for row in rows])},
        chunk=ChunkFacts(0, ordinal, rows[0], len(rows), 100, {"offset": 100, "inode": 2**63 + 1}),
    )


def sweep_draft(ordinal=0, *, rows=(0, 1, 2), outcome="completed", **changes):
    rows = list(rows)
    draft = CommitDraft(
        CommitKey(Phase.PROCESS, "stage_0", ordinal),
        tables={
            "tokens": tokens_table(rows),
            "versions": versions_table(rows, 0),
            "states": states_table(rows, outcome=outcome),
            "errors": pa.table({"token": pa.array([], pa.binary())}),
        },
        tallies=(
            Tally("gate", Measure.IN, "", "", len(rows)),
            Tally("gate", Measure.OUT, "true", "out", len(rows)),
        ),
    )
    return replace(draft, **changes)


def part(landscape, attempt, key, sink="out", content=b"part", content_sha256=None):
    path = attempt_file(landscape, attempt, key, sink, ".arrow")
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return PartFile(sink, 0, path, None, 1, len(content), digest, None, {"edges": {}}, content_sha256)


def files_of(landscape, attempt):
    folder = landscape.location.segments / attempt.run_id
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def processes_context():
    """Makes processes that have the landscape loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["elspeth_dagster.landscape.attempts"])
    return context


def digests(landscape):
    query = select(schema.commits.c.content_digest, schema.commits.c.digest).order_by(
        schema.commits.c.commit_id
    )
    with landscape.read() as connection:
        return connection.execute(query).all()


def supersede(landscape):
    return ensure_attempt(
        landscape,
        request("d2", parent_dagster_runs=("d1",), continues=True, dagster_finished=lambda _run: True),
    )

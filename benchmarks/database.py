"""A pipeline's rows into a table, against the plain bulk insert of the same rows: `database.py [ROWS]`.

Both write to a SQLite file; where `ELSPETH_TEST_POSTGRES` names a server, to a table of it as well. What is
compared is the publish alone, from the parts to the commit, with the plain insert of rows that are in memory
already.
"""

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import create_engine, make_url

from elspeth_dagster.engine.parts import write_part
from elspeth_dagster.engine.publish import Publication, publish_sink
from elspeth_dagster.landscape.attempts import AttemptRequest, ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, attempt_folder, commit
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import Attempt, Phase
from elspeth_dagster.plugins.base import PluginContext
from elspeth_dagster.plugins.sinks.database import DatabaseOptions, DatabaseSink
from elspeth_dagster.rows.rows import Column, Rows
from elspeth_dagster.rows.tokens import root_tokens

CHUNK_ROWS = 50_000
TIMES = 3
COLUMNS = "(id BIGINT, name TEXT, value DOUBLE PRECISION, flag BOOLEAN)"


def columns(first: int, count: int) -> dict[str, pa.Array]:
    """The rows of a chunk."""
    numbers = range(first, first + count)
    return {
        "id": pa.array(numbers, pa.int64()),
        "name": pa.array([f"name {number % 9973}" for number in numbers]),
        "value": pa.array([number / 7 for number in numbers]),
        "flag": pa.array([number % 3 == 0 for number in numbers]),
    }


def chunks(rows: int) -> list[tuple[int, int]]:
    """First row and number of rows of each chunk."""
    return [(first, min(CHUNK_ROWS, rows - first)) for first in range(0, rows, CHUNK_ROWS)]


def swept(landscape: Landscape, sink: DatabaseSink, rows: int, run: str) -> Attempt:
    """A run whose sweeps are done: its parts wait for the publish."""
    request = AttemptRequest(
        pipeline="bench", dagster_run_id=run, parent_dagster_runs=(), continues=False, run_id=None,
        settings={}, settings_digest="", launch={}, engine_version="", code={},
        dagster_finished=lambda _run: True, comparable=lambda _stored, _now: [],
    )  # fmt: skip
    attempt = ensure_attempt(landscape, request)
    for ordinal, (first, count) in enumerate(chunks(rows)):
        held = {name: Column(values) for name, values in columns(first, count).items()}
        edges = pa.array(["completed"] * count).dictionary_encode()
        part = write_part(
            attempt_folder(landscape, attempt),
            f"part-{ordinal}",
            Rows.uniform(root_tokens(first, count), held),
            edges,
            sink,
            sink_name="out",
        )
        commit(landscape, attempt, CommitDraft(CommitKey(Phase.PROCESS, "stage 0", ordinal), parts=(part,)))
    return attempt


def published_s(landscape: Landscape, folder: Path, url: str, rows: int, run: str) -> float:
    """How long the publish takes."""
    sink = DatabaseSink(DatabaseOptions(url=url, table="ours", if_exists="replace"))
    attempt = swept(landscape, sink, rows, run)
    context = PluginContext("bench", "out", attempt.run_id, folder.joinpath)
    began = time.perf_counter()
    artifact = publish_sink(landscape, attempt, Publication("out", sink), context)
    assert artifact.rows == rows
    return time.perf_counter() - began


def tuples(rows: int) -> list[tuple[Any, ...]]:
    """All rows as Python has them."""
    held = columns(0, rows)
    return list(zip(*(values.to_pylist() for values in held.values()), strict=True))


def sqlite_s(file: Path, records: list[tuple[Any, ...]]) -> float:
    """`executemany` in one transaction."""
    connection = sqlite3.connect(file)
    connection.execute(f"CREATE TABLE plain {COLUMNS}")
    began = time.perf_counter()
    with connection:
        connection.executemany("INSERT INTO plain VALUES (?, ?, ?, ?)", records)
    seconds = time.perf_counter() - began
    connection.execute("DROP TABLE plain")
    connection.close()
    return seconds


def postgresql_s(url: str, records: list[tuple[Any, ...]]) -> float:
    """psycopg's `COPY`, row by row."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    connection = engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute(f"DROP TABLE IF EXISTS plain; CREATE TABLE plain {COLUMNS}")
    connection.commit()
    began = time.perf_counter()
    with cursor.copy("COPY plain FROM STDIN") as copy:
        for record in records:
            copy.write_row(record)
    connection.commit()
    seconds = time.perf_counter() - began
    cursor.execute("DROP TABLE plain; DROP TABLE IF EXISTS ours; DROP TABLE IF EXISTS elspeth_markers")
    connection.commit()
    connection.close()
    engine.dispose()
    return seconds


def main() -> None:
    """Prints seconds and the ratio of speeds, the best of several times each."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    records = tuples(rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain: dict[str, tuple[str, Callable[[], float]]] = {
            "sqlite": ("sqlite:///ours.db", lambda: sqlite_s(folder / "plain.db", records)),
        }
        server = os.environ.get("ELSPETH_TEST_POSTGRES")
        if server:
            plain["postgresql"] = (server, lambda: postgresql_s(server, records))
        with Landscape.open(Location.parse(folder / "landscape")) as landscape:
            for kind, (url, insert) in plain.items():
                both = [
                    (published_s(landscape, folder, url, rows, f"{kind}-{time_}"), insert())
                    for time_ in range(TIMES)
                ]
                ours, theirs = (min(seconds) for seconds in zip(*both, strict=True))
                print(
                    f"{kind}: {rows:,} rows published in {ours:.2f} s, plain insert {theirs:.2f} s; "
                    f"speed ratio {theirs / ours:.2f}"
                )


if __name__ == "__main__":
    main()

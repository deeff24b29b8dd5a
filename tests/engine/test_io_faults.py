"""Each durable system call of a run fails once: the run stops and says why, and what goes on ends the same.

In the suite it is a sample with every phase, kind of call and place. All of them:

    ELSPETH_EVERY_FAULT=1 python -m pytest tests/engine/test_io_faults.py
"""

import errno
import os
import random
import re
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from io_faults import Call, Faults

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))

from engine import Workshop, workshop

from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.finish import check_run, require_checked, seal_run
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.plan import plan_stage
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.engine.work import Launch, Progress, Work
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import AttemptRequest, ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.leftovers import delete_parts, sweep_attempt_leftovers
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import AttemptStatus
from elspeth_dagster.plugins.compile import Compiled

EVERY = "ELSPETH_EVERY_FAULT" in os.environ
ROWS = 24
PIPELINE: dict[str, Any] = {
    "source": {"plugin": "csv", "on_success": "read",
               "options": {"path": "rows.csv", "on_validation_failure": "odd",
                           "schema": {"mode": "fixed", "fields": ["id: int", "name: str"]}}},
    "gates": [{"name": "part", "input": "read", "condition": "row['id'] % 4 > 0",
               "routes": {"true": "fork", "false": "table"}, "fork_to": ["plain", "copies", "log", "sum"]}],
    "aggregations": [{"name": "stats", "plugin": "batch_stats", "input": "sum", "on_success": "stats_out",
                      "on_error": "odd", "trigger": {"count": 5}, "options": {"value_field": "id"}}],
    "sinks": {
        "plain": {"plugin": "csv", "options": {"path": "output/plain.csv"}},
        "copies": {"plugin": "parquet", "options": {"path": "output/copies.parquet"}},
        "log": {"plugin": "csv", "options": {"path": "output/log.csv", "mode": "append"}},
        "table": {"plugin": "database", "on_write_failure": "refused",
                  "options": {"url": "sqlite:///output/table.db", "table": "rows",
                              "schema": {"mode": "fixed", "fields": ["id: int", "name: str"]}}},
        "stats_out": {"plugin": "json", "options": {"path": "output/stats.json"}},
        "refused": {"plugin": "json", "options": {"path": "output/refused.jsonl"}},
        "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}},
    },
    "checkpoint": {"frequency": "every_n", "checkpoint_interval": 10},
}  # fmt: skip
PHASES = [
    "open", "begin", "graph", "load", "stage 0", "plan 1", "stage 1", "check",
    *(f"publish {sink}" for sink in PIPELINE["sinks"]), "seal",
]  # fmt: skip


@dataclass(frozen=True)
class Disturbance:
    """A call that fails, and how.

    Attributes:
        call: The call.
        error: With which `errno`.
        late: Whether it takes effect all the same.
    """

    call: Call
    error: int
    late: bool


@dataclass(frozen=True)
class Shop:
    """Where every run of the pipeline gets a folder of its own, with the same paths below it."""

    top: Path
    template: Path
    compiled: Compiled

    def lay_out(self) -> Path:
        """The folder as it is before a run: always the same one, so that no path differs from run to run."""
        root = self.top / "platform"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.template, root)
        return root


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with workshop() as made:
        compiled = made.compile(PIPELINE)
        template = made.root / "template"
        Landscape.open(Location.parse(template / "landscape")).close()
        lines = [f"{n},{'name' * (n % 3)}{n}" for n in range(ROWS)]
        lines[11] = "eleven,odd"
        (template / "rows.csv").write_text("\n".join(["id,name", *lines]) + "\n")
        (template / "output").mkdir()
        (template / "output" / "log.csv").write_bytes(b"id,name\r\n-1,before\r\n")
        with closing(sqlite3.connect(template / "output" / "table.db")) as connection:
            connection.execute("CREATE TABLE rows (id INTEGER CHECK (id <> 8), name TEXT)")
        yield Shop(made.root, template, compiled)


@pytest.fixture(scope="module")
def undisturbed(shop: Shop) -> tuple[list[Call], dict[str, Any]]:
    """The calls of a run that is left alone, and what it leaves."""
    root = shop.lay_out()
    faults = Faults(root)
    attempt(shop.compiled, faults)
    return [call for call in faults.calls if not _may_be_left_out(call)], left(root, shop.compiled)


def _may_be_left_out(call: Call) -> bool:
    """Whether a call is made only where two threads happen to ask the catalogue at once."""
    return call.kind == "connect" and call.place == "catalogue.db" and call.phase != "open"


def attempt(compiled: Compiled, faults: Faults) -> None:
    """One attempt on the run of a folder, from where the one before stopped: phase after phase, as by ops."""
    with faults.at_work():
        faults.phase = "open"
        with Landscape.open(Location.parse(faults.root / "landscape")) as landscape:
            faults.phase = "begin"
            work = begun(landscape, compiled, faults.root)
            if work.attempt.status is AttemptStatus.COMPLETED:
                delete_parts(landscape, work.run_id)
                return
            sweep_attempt_leftovers(landscape, work.attempt)
            go_on(work, faults)


def begun(landscape: Landscape, compiled: Compiled, root: Path) -> Work:
    runs = reads.runs(landscape, limit=1)
    run_id = runs[0].run_id if runs else None
    number = len(reads.attempts(landscape, run_id)) if run_id else 0
    request = AttemptRequest(
        pipeline=compiled.graph.pipeline, dagster_run_id=f"d{number}", parent_dagster_runs=(),
        continues=False, run_id=run_id, settings={}, settings_digest="s", launch={}, engine_version="0",
        code=compiled.code_hashes, dagster_finished=lambda _run: True, comparable=lambda _was, _is: [],
    )  # fmt: skip
    launch = Launch("settings.yaml")
    return Work(
        landscape, ensure_attempt(landscape, request), compiled, launch, root, Progress(lambda _: None)
    )


def go_on(work: Work, faults: Faults) -> None:
    graph = work.compiled.graph
    faults.phase = "graph"
    record_graph(work)
    faults.phase = "load"
    load_source(work)
    for stage in graph.stages:
        if graph.aggregation_of(stage) is not None:
            faults.phase = f"plan {stage}"
            plan_stage(work, stage)
        faults.phase = f"stage {stage}"
        process_shard(work, stage=stage, shard=0, shards=1)
    faults.phase = "check"
    check_run(work)
    require_checked(work)
    for sink in graph.sinks:
        faults.phase = f"publish {sink}"
        publish_sink_of(work, sink)
    faults.phase = "seal"
    seal_run(work)


def left(root: Path, compiled: Compiled) -> dict[str, Any]:
    """Everything that must be the same whatever happened on the way."""
    with Landscape.open(Location.parse(root / "landscape"), create=False) as landscape:
        (run,) = reads.runs(landscape, limit=9)
        work = begun(landscape, compiled, root)
        counts = run.counts or {}
        recorded = asdict(Workshop(root, landscape).recorded(work, counts["rows_in"], counts["outcomes"]))
        named = {segment.path for segment in reads.segments_of(landscape, run.run_id)}
    segments = root / "landscape" / "segments"
    stored = {str(path.relative_to(segments)) for path in segments.glob("2*/**/*") if path.is_file()}
    differing = ("run_id", "started_at", "artifacts")
    return {
        "status": run.status,
        "record": {name: value for name, value in recorded.items() if name not in differing},
        "sinks": {
            name: (each["rows"], each["facts"]["columns"]) for name, each in recorded["artifacts"].items()
        },
        "files": {path.name: _timeless(path) for path in (root / "output").iterdir() if path.suffix != ".db"},
        "table": _rows(root / "output" / "table.db", "SELECT * FROM rows ORDER BY rowid"),
        "markers": _rows(root / "output" / "table.db", "SELECT * FROM elspeth_markers"),
        "locks": _rows(root / "landscape" / "catalogue.db", "SELECT name FROM ops_locks"),
        "strays": sorted(stored - named),
        "lost": sorted(named - stored),
    }


def _timeless(path: Path) -> bytes:
    """The bytes of a file; rows that were refused tell when their run began."""
    return re.sub(rb'"__diversion_timestamp": ?"[^"]*"', b"", path.read_bytes())


def _rows(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def every_disturbance(calls: list[Call]) -> list[Disturbance]:
    """Every call, failing in every way."""
    return [
        *(Disturbance(call, error, late=False) for call in calls for error in (errno.ENOSPC, errno.EIO)),
        *(Disturbance(call, errno.EIO, late=True) for call in calls if call.kind == "commit"),
    ]


def sampled_disturbances(calls: list[Call]) -> list[Disturbance]:
    """At least one of every phase, and of every kind of call at every place."""
    chosen: dict[str, list[Call]] = {phase: [] for phase in PHASES}
    used: Counter[tuple[str, str]] = Counter()
    shuffled = random.Random(4).sample(sorted(calls), len(calls))
    for call in shuffled:
        if not used[call.kind, call.place] or not chosen[call.phase]:
            used[call.kind, call.place] += 1
            chosen[call.phase].append(call)
    sample = [call for of_phase in chosen.values() for call in of_phase]
    errors = (errno.ENOSPC, errno.EIO)
    return [
        *(Disturbance(call, errors[place % 2], late=False) for place, call in enumerate(sample)),
        *(Disturbance(call, errno.EIO, late=True) for call in sample if call.kind == "commit"),
    ]


def complaint(compiled: Compiled, faults: Faults) -> str | None:
    """What an attempt says that was stopped; None when it went on by itself. Any other error is a defect."""
    try:
        attempt(compiled, faults)
    except ElspethError as error:
        return str(error)
    return None


@pytest.mark.parametrize("phase", PHASES)
def test_a_call_that_fails_once_stops_the_run_with_its_reason_and_changes_nothing_else(
    shop: Shop, undisturbed: tuple[list[Call], dict[str, Any]], phase: str
) -> None:
    calls, expected = undisturbed
    chosen = every_disturbance(calls) if EVERY else sampled_disturbances(calls)
    for disturbance in [each for each in chosen if each.call.phase == phase]:
        root = shop.lay_out()
        faults = Faults(root, disturbance.call, disturbance.error, disturbance.late)
        said = complaint(shop.compiled, faults)
        assert said is None or str(root) in said, f"{disturbance}: names no file: {said}"
        assert faults.failed is not None, f"{disturbance}: was not made"
        attempt(shop.compiled, Faults(root))
        assert left(root, shop.compiled) == expected, disturbance


def test_the_sample_has_every_phase_kind_and_place(undisturbed: tuple[list[Call], dict[str, Any]]) -> None:
    calls, _ = undisturbed
    sample = [each.call for each in sampled_disturbances(calls)]
    assert {(call.kind, call.place) for call in sample} == {(call.kind, call.place) for call in calls}
    assert {call.phase for call in sample} == set(PHASES)


def test_calls_of_every_phase_and_kind_are_known(undisturbed: tuple[list[Call], dict[str, Any]]) -> None:
    calls, expected = undisturbed
    assert {call.phase for call in calls} == set(PHASES)
    assert {call.kind for call in calls} == {
        "open", "write", "fsync", "rename", "remove", "mkdir", "connect", "statement", "commit",
    }  # fmt: skip
    assert {call.place for call in calls} == {"landscape", "output", "catalogue.db", "table.db"}
    assert expected["strays"] == expected["lost"] == expected["locks"] == expected["markers"] == []
    assert b"" not in expected["files"].values()

"""A run whose sweeps are done and whose sinks wait to be published."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pyarrow as pa

from elspeth_dagster.engine.parts import write_part
from elspeth_dagster.engine.publish import Failure, Publication, publish_sink
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import AttemptRequest, ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, attempt_folder, commit
from elspeth_dagster.landscape.leftovers import sweep_attempt_leftovers
from elspeth_dagster.landscape.model import Attempt, Phase
from elspeth_dagster.plugins.base import PluginContext
from elspeth_dagster.plugins.sinks.csv import CsvOptions, CsvSink
from elspeth_dagster.plugins.sinks.json import JsonOptions, JsonSink
from elspeth_dagster.rows.fields import OBSERVED
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_token

WORD = pa.dictionary(pa.int32(), pa.string())
_RUNS = count()


class Killed(BaseException):
    """Stands for the instant at which a process dies."""


def csv_sink(block=OBSERVED, path="out/rows.csv", **options):
    return CsvSink(CsvOptions(path=path, **options), block)


def jsonl_sink(block=OBSERVED, path="out/rows.jsonl", **options):
    return JsonSink(JsonOptions(path=path, **options), block)


def words(values):
    return pa.array(values, pa.string()).dictionary_encode().cast(WORD)


def request(dagster_run_id, **changes):
    defaults = {
        "pipeline": "orders",
        "dagster_run_id": dagster_run_id,
        "parent_dagster_runs": (),
        "continues": False,
        "run_id": None,
        "settings": {},
        "settings_digest": "s",
        "launch": {},
        "engine_version": "0",
        "code": {},
        "dagster_finished": lambda _run: True,
        "comparable": lambda _stored, _now: [],
    }
    return AttemptRequest(**{**defaults, **changes})


@dataclass
class Case:
    """A run of pipeline `orders`."""

    landscape: Landscape
    root: Path
    attempt: Attempt
    ordinals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def new(cls, landscape: Landscape, root: Path) -> "Case":
        return cls(landscape, root, ensure_attempt(landscape, request(f"dagster-{next(_RUNS)}")))

    def resumed(self) -> "Case":
        """The same run in its next attempt, which begins as an op's does."""
        before = self.attempt.dagster_run_id
        again = request(f"dagster-{next(_RUNS)}", parent_dagster_runs=(before,), continues=True)
        attempt = ensure_attempt(self.landscape, again)
        sweep_attempt_leftovers(self.landscape, attempt)
        return Case(self.landscape, self.root, attempt, self.ordinals)

    def sweep(
        self,
        sink,
        dicts: Sequence[dict],
        *,
        rows=None,
        edges=None,
        node="stage 0",
        name="out",
        originals=None,
    ):
        """Commits a part of rows with these indices, each with the outcome of its last edge."""
        ordinal = self.ordinals[node] = self.ordinals.get(node, -1) + 1
        rows = list(range(len(dicts))) if rows is None else list(rows)
        edges = [edges or "completed"] * len(dicts) if not isinstance(edges, list) else edges
        tokens = pa.array([root_token(row) for row in rows], pa.binary())
        part = write_part(
            attempt_folder(self.landscape, self.attempt),
            f"{node}-{ordinal}",
            Rows.from_dicts(tokens, dicts, originals or {}),
            words(edges),
            sink,
            sink_name=name,
        )
        key = CommitKey(Phase.PROCESS, node, ordinal)
        assert commit(self.landscape, self.attempt, CommitDraft(key, parts=(part,)))

    def publish(self, sink, *, name="out", to=None, failure_sink=None, takes_any=False):
        publication = Publication(name, sink, takes_any, Failure(to, failure_sink))
        context = PluginContext("orders", name, self.attempt.run_id, self.root.joinpath)
        return publish_sink(self.landscape, self.attempt, publication, context)

    def table(self, table, node="out"):
        """The rows that a publish recorded in a table."""
        segments = reads.segments_of(
            self.landscape, self.attempt.run_id, phase=Phase.SINK, node=node, table=table
        )
        return [
            row for segment in segments for row in reads.read_segment(self.landscape, segment).to_pylist()
        ]

    def tallies(self):
        found = reads.tallies(self.landscape, self.attempt.run_id)
        return {(t.node, t.measure.value, t.label, t.target): t.count for t in found}

    def read(self, path="out/rows.csv"):
        return (self.root / path).read_bytes()

    def files(self, folder="out"):
        return sorted(path.name for path in (self.root / folder).iterdir())

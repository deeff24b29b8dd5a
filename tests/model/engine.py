"""Runs a pipeline through the engine in this process, without Dagster: phase after phase, as its ops do."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from elspeth_dagster import __version__
from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.finish import check_run, require_checked, seal_run
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.plan import plan_stage
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.engine.work import Launch, Progress, Work
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import AttemptRequest, ensure_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.digest import json_digest
from elspeth_dagster.landscape.explain import explain
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.compile import Compiled, compile_pipeline
from elspeth_dagster.rows.tokens import token_text
from elspeth_dagster.settings import settings_differences
from model.clock import stopwatch

_RUNS = count()
_PLUGINS = Path(__file__).with_name("plugins")


def _nothing(_line: str) -> None:
    """Nobody reads the progress."""


@contextmanager
def workshop() -> Iterator["Workshop"]:
    """A folder with a landscape for many runs, in memory where that can be had: the disk would cost most."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="elspeth-model-") as folder:
        root = Path(folder)
        shutil.copytree(_PLUGINS, root / "pipelines/plugins")
        with Landscape.open(Location.parse(root / "landscape")) as landscape:
            yield Workshop(root, landscape)


@dataclass(frozen=True)
class EngineRun:
    """A completed run, as its record and its files have it.

    Attributes:
        run_id: Its id.
        started_at: When it began, ISO.
        rows_in: Records.
        counts: Tokens by outcome, as `seal_run` reports them.
        files: Sink to the path of its file.
        artifacts: Sink to what was recorded of its file.
        outcomes: Token (as text) to outcome and sink.
        states: Token to its states, each a mapping with the hashes of the row's versions.
        tallies: Count by node, measure, label and target.
        errors: Token, node and kind of every error.
    """

    run_id: str
    started_at: str
    rows_in: int
    counts: Mapping[str, int]
    files: Mapping[str, Path]
    artifacts: Mapping[str, ArtifactFacts]
    outcomes: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    states: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    tallies: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    errors: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Workshop:
    """Where runs are made.

    Attributes:
        root: The platform root.
        landscape: The record of all of them.
    """

    root: Path
    landscape: Landscape

    def write(self, name: str, content: bytes) -> Path:
        """Writes a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def compile(self, settings: Mapping[str, Any]) -> Compiled:
        """Compiles settings, as a file of their own."""
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        path = self.write(f"pipelines/case_{next(_RUNS)}.yaml", text.encode())
        try:
            return compile_pipeline(path, {})
        finally:
            path.unlink()

    def run(
        self, compiled: Compiled, *, shards: int = 1, limit: int | None = None, source_path: str | None = None
    ) -> EngineRun:
        """Runs a pipeline from its first phase to its last.

        Raises:
            ElspethError: What stopped the run.
        """
        work = self.begin(compiled, Launch(str(compiled.settings.path), source_path, limit))
        record_graph(work)
        load_source(work)
        for stage in compiled.graph.stages:
            if compiled.graph.aggregation_of(stage) is not None:
                plan_stage(work, stage)
            for shard in reversed(range(shards)):
                process_shard(work, stage=stage, shard=shard, shards=shards)
        check_run(work)
        require_checked(work)
        for sink in compiled.graph.sinks:
            publish_sink_of(work, sink)
        counts = seal_run(work)
        return self.recorded(work, counts.rows_in, counts.outcomes)

    def told(self, run: EngineRun, row: int) -> dict[str, Any]:
        """What `explain` says of a row."""
        return explain(self.landscape, run.run_id, row).to_json()

    def begin(self, compiled: Compiled, launch: Launch) -> Work:
        """A new run of a pipeline, at its beginning."""
        stored = compiled.settings.stored({})
        request = AttemptRequest(
            pipeline=compiled.graph.pipeline,
            dagster_run_id=f"model-{os.getpid()}-{next(_RUNS)}",
            parent_dagster_runs=(),
            continues=False,
            run_id=None,
            settings=stored,
            settings_digest=json_digest(stored),
            launch=asdict(launch),
            engine_version=__version__,
            code=compiled.code_hashes,
            dagster_finished=lambda _run: True,
            comparable=settings_differences,
        )
        attempt = ensure_attempt(self.landscape, request)
        return Work(
            self.landscape, attempt, compiled, launch, self.root, Progress(_nothing), stopwatch=stopwatch
        )

    def recorded(self, work: Work, rows_in: int, counts: Mapping[str, int]) -> EngineRun:
        """Reads a run's record back."""
        run_id = work.run_id
        artifacts = {artifact.sink: artifact for artifact in reads.artifacts(self.landscape, run_id)}
        tallies: Counter[tuple[str, str, str, str]] = Counter()
        for tally in reads.tallies(self.landscape, run_id):
            tallies[tally.node, tally.measure.value, tally.label, tally.target] += tally.count
        errors = [
            (token_text(row["token"]), row["node"], row["kind"])
            for row in self._table(run_id, "errors")
            if row["token"] is not None
        ]
        return EngineRun(
            run_id,
            work.attempt.run_created_at.isoformat(),
            rows_in,
            dict(counts),
            {name: Path(artifact.uri) for name, artifact in artifacts.items()},
            artifacts,
            self._outcomes(run_id),
            self._states(run_id),
            tallies,
            sorted(errors),
        )

    def _table(self, run_id: str, name: str) -> Iterator[dict[str, Any]]:
        for segment in reads.segments_of(self.landscape, run_id, table=name):
            for row in reads.read_segment(self.landscape, segment).to_pylist():
                yield {**row, "phase": segment.phase}

    def _outcomes(self, run_id: str) -> dict[str, tuple[str, str | None]]:
        """What the sweep recorded, and what became of it at sinks that refused."""
        outcomes: dict[str, tuple[str, str | None]] = {}
        for row in self._table(run_id, "states"):
            if row["outcome"] is None:
                continue
            token = token_text(row["token"])
            assert token not in outcomes, f"token {token} ends twice"
            outcomes[token] = (row["outcome"], row["to"])
        refusals: dict[str, dict[str, tuple[str, str | None]]] = {}
        for row in self._table(run_id, "refusals"):
            assert row["phase"] is Phase.SINK
            refusals.setdefault(token_text(row["token"]), {})[row["node"]] = (row["outcome"], row["to"])
        for token, refused in refusals.items():
            while refused and outcomes[token][1] in refused:
                outcomes[token] = refused.pop(outcomes[token][1])
            assert not refused, f"token {token} was refused where it never was: {refused}"
        return outcomes

    def _states(self, run_id: str) -> dict[str, list[dict[str, Any]]]:
        versions: dict[tuple[bytes, int], str] = {}
        for row in self._table(run_id, "versions"):
            key = (row["token"], row["version"])
            assert key not in versions, f"version {key} twice"
            versions[key] = row["hash"].hex()
        states: dict[str, list[dict[str, Any]]] = {}
        for row in self._table(run_id, "states"):
            token = row["token"]
            hashes = {
                end: None if row[f"{end}_version"] is None else versions[token, row[f"{end}_version"]]
                for end in ("input", "output")
            }
            states.setdefault(token_text(token), []).append({**row, **hashes})
        return states

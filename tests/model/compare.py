"""Holds the engine against the model."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from elspeth_dagster.plugins.sources.errors import SourceError
from model.engine import EngineRun, Workshop
from model.interpreter import Model, interpret, token_text
from model.reading import SourceRefused
from model.stories import story_of, words_left_out

_ARROW = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
}


FEW = 150
EXAMPLES = int(os.environ.get("ELSPETH_MODEL_EXAMPLES", str(FEW)))
"""How many random cases a test tries; the few of the normal run are the same every time."""


def with_chunks(settings: Mapping[str, Any], chunk_rows: int | None) -> dict[str, Any]:
    """The settings with chunks of so many rows; `None` for the default, which takes all."""
    if chunk_rows is None:
        return dict(settings)
    checkpoint = {"frequency": "every_n", "checkpoint_interval": chunk_rows}
    return {**settings, "checkpoint": checkpoint}


def agree(
    workshop: Workshop,
    settings: Mapping[str, Any],
    data: bytes,
    *,
    chunk_rows: int | None = None,
    shards: int = 1,
    limit: int | None = None,
) -> Model | None:
    """Runs a case in the engine and in the model, and asserts that they agree on everything.

    Returns:
        The model, `None` when both say that the source cannot be read.

    Raises:
        SettingsError: The settings are not valid.
    """
    path = settings["source"].get("options", {}).get("path")
    if path is not None:
        workshop.write(path, data)
    compiled = workshop.compile(with_chunks(settings, chunk_rows))
    try:
        run = workshop.run(compiled, shards=shards, limit=limit)
    except SourceError:
        try:
            interpret(settings, data)
        except SourceRefused:
            return None
        raise
    arrivals_us = settings["source"]["options"].get("arrivals", ())
    model = interpret(settings, data, started_at=run.started_at, limit=limit, arrivals_us=arrivals_us)
    assert_same(run, model, settings)
    _assert_told(workshop, run, model, settings)
    return model


def assert_same(run: EngineRun, model: Model, settings: Mapping[str, Any]) -> None:
    """Sink by sink, token by token, count by count."""
    assert run.rows_in == model.rows_in
    assert run.outcomes == {token_text(token): ending for token, ending in model.outcomes.items()}
    _assert_states(run, model)
    _assert_errors(run, model)
    assert run.tallies == model.tallies
    assert run.counts == model.counts
    assert run.files.keys() == model.sinks.keys()
    for name, delivered in model.sinks.items():
        content = run.files[name].read_bytes()
        if settings["sinks"][name]["plugin"] == "parquet":
            _assert_parquet(run.files[name], delivered.content)
        else:
            assert content == delivered.content, f"bytes of sink {name!r}"
        artifact = run.artifacts[name]
        found = (artifact.rows, artifact.size_bytes, artifact.sha256)
        assert found == (delivered.rows, len(content), sha256(content).hexdigest()), name


def _assert_told(workshop: Workshop, run: EngineRun, model: Model, settings: Mapping[str, Any]) -> None:
    """The same story of every row."""
    for row in range(run.rows_in):
        told = workshop.told(run, row)
        story = story_of(model, row, run.started_at, settings["sinks"])
        assert told["run_id"] == run.run_id
        found = words_left_out(told)
        if story["arrived_at"] is None:
            found["arrived_at"] = None
        assert found == story, f"what is told of row {row}"


def _assert_states(run: EngineRun, model: Model) -> None:
    """The same way through the nodes, each state going on where the one before it led."""
    found = {}
    for token, states in run.states.items():
        keys = ("node", "status", "to", "mode")
        found[token] = [
            {
                **{key: state[key] for key in keys},
                "label": None if _ended_well(state) else state["label"],
                "outcome": state["outcome"] if state["to"] is None else None,
                "hash_in": state["input"],
                "hash_out": state["output"],
            }
            for state in states
        ]
        for before, after in pairwise(states):
            assert before["to"] == after["node"], f"token {token}: a gap behind {before['node']!r}"
            assert before["output_version"] == after["input_version"], f"token {token}: a version is missing"
        assert [state["try"] for state in states] == [1] * len(states)
    assert found == {token_text(t): [asdict(state) for state in states] for t, states in model.states.items()}


def _ended_well(state: Mapping[str, Any]) -> bool:
    """Whether a token turned into others there, which the engine labels and the model does not."""
    return state["to"] is None and state["status"] == "completed"


def _assert_errors(run: EngineRun, model: Model) -> None:
    """One error for each token that was set aside or refused, where that happened."""
    wanted = [
        (token_text(token), state.node)
        for token, states in model.states.items()
        for state in states
        if state.status == "failed"
    ]
    wanted += [(token_text(token), sink) for token, sink in model.refusals]
    assert sorted((token, node) for token, node, _ in run.errors) == sorted(wanted)


def _assert_parquet(path: Path, columns: list[tuple[str, str, list[Any]]]) -> None:
    table = pq.read_table(path)
    assert [(field.name, field.type) for field in table.schema] == [(n, _ARROW[k]) for n, k, _ in columns]
    found = [[repr(value) for value in column.to_pylist()] for column in table.columns]
    assert found == [list(map(repr, values)) for _, _, values in columns]

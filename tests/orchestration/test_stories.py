"""What people are told of a run in a line, and node by node."""

from pathlib import Path

from elspeth_dagster.accounting import Counts, Measure, Tally
from elspeth_dagster.orchestration.stories import flow, summary
from elspeth_dagster.plugins.compile import compile_pipeline

SETTINGS = """
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
gates:
  - {name: split, input: rows, condition: "True", routes: {"true": fork}, fork_to: [a, b]}
transforms:
  - name: screen
    plugin: keyword_filter
    input: b
    on_success: screened
    on_error: discard
    options: {fields: all, blocked_patterns: [x]}
coalesce:
  - {name: joined, branches: {a: a, b: screened}, on_success: out}
sinks:
  out: {plugin: csv, options: {path: out.csv}}
"""
TALLIES = [
    Tally("source", Measure.CREATED, "", "", 12),
    Tally("source", Measure.OUT, "on_success", "split", 10),
    Tally("source", Measure.ENDED, "quarantined", "", 2),
    Tally("split", Measure.IN, "", "", 10),
    Tally("split", Measure.CREATED, "", "", 20),
    Tally("split", Measure.OUT, "a", "joined", 10),
    Tally("split", Measure.OUT, "b", "screen", 10),
    Tally("split", Measure.ENDED, "forked", "", 10),
    Tally("screen", Measure.IN, "", "", 10),
    Tally("screen", Measure.OUT, "on_success", "joined", 7),
    Tally("screen", Measure.ENDED, "quarantined", "", 3),
    Tally("joined", Measure.IN, "", "", 17),
    Tally("joined", Measure.CREATED, "", "", 7),
    Tally("joined", Measure.OUT, "on_success", "out", 7),
    Tally("joined", Measure.ENDED, "coalesced", "", 14),
    Tally("joined", Measure.ENDED, "failed", "", 3),
    Tally("out", Measure.IN, "", "", 7),
    Tally("out", Measure.ENDED, "completed", "out", 7),
]


def test_only_what_was_set_aside_and_is_in_no_sink_is_called_discarded(tmp_path: Path) -> None:
    path = tmp_path / "split.yaml"
    path.write_text(SETTINGS)
    graph = compile_pipeline(path, {}).graph
    outcomes = {"quarantined": 5, "forked": 10, "coalesced": 14, "failed": 3, "completed": 7}

    line = summary(graph, "R", Counts(12, outcomes), TALLIES)
    went = {row.node: row.went_to for row in flow(graph, TALLIES)}

    assert line == (
        "split, run R: 12 rows in, 7 succeeded, 3 failed, 5 quarantined; in the sinks: out 7; discarded: 5"
    )
    assert went == {
        "source": "split 10; quarantined, discarded 2",
        "split": "joined 10; screen 10; forked 10",
        "screen": "joined 7; quarantined, discarded 3",
        "joined": "out 7; coalesced 14; failed 3",
        "out": "completed 7",
    }

"""Aggregations: stages, triggers, and what they take (W15, W20)."""

import pytest

from elspeth_dagster.graph import EdgeMode, draw_mermaid, draw_text
from elspeth_dagster.settings.nodes import OutputMode

SETTINGS = """
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
gates:
  - name: split
    input: rows
    condition: "row['a'] == '1'"
    routes: {true: fork, false: rest}
    fork_to: [left, right]
  - {name: after, input: hourly, condition: "row['a'] == '1'", routes: {true: daily_in, false: out}}
aggregations:
  - name: daily
    plugin: batch_replicate
    input: daily_in
    on_error: bad
    on_success: out
    output_mode: passthrough
    trigger: {condition: "row['batch_count'] > 10 or row['batch_age_seconds'] > 1"}
  - name: hourly
    plugin: batch_replicate
    input: left
    on_error: discard
    trigger: {count: 100, timeout_seconds: 2.5}
    expected_output_count: 5
  - name: others
    plugin: batch_stats
    input: rest
    on_error: bad
    on_success: out
    trigger: {count: 3}
    options: {value_field: v}
sinks:
  out: {plugin: csv, options: {path: out.csv}}
  right: {plugin: csv, options: {path: right.csv}}
  bad: {plugin: json, options: {path: bad.jsonl}}
"""


@pytest.fixture
def graph(compiled):
    return compiled(SETTINGS).graph


def test_every_aggregation_begins_a_stage(graph):
    stages = {name: node.stage for name, node in graph.nodes.items()}
    assert stages == {
        "source": 0,
        "split": 0,
        "hourly": 1,
        "after": 1,
        "daily": 2,
        "others": 3,
        "out": None,
        "right": None,
        "bad": None,
    }
    assert graph.stages == (0, 1, 2, 3)
    assert [graph.parent_stage(stage) for stage in graph.stages] == [None, 0, 1, 0]
    assert graph.aggregation_of(0) is None
    assert graph.aggregation_of(2) is graph.nodes["daily"]
    assert [node.name for node in graph.stage_nodes(1)] == ["hourly", "after"]
    assert graph.feeding_stages("out") == (1, 2, 3)


def test_its_edges(graph):
    assert [(edge.source, edge.label, edge.mode) for edge in graph.in_edges("hourly")] == [
        ("split", "left", EdgeMode.COPY)
    ]
    assert [(edge.target, edge.label, edge.mode) for edge in graph.out_edges("daily")] == [
        ("out", "on_success", EdgeMode.MOVE),
        ("bad", "on_error", EdgeMode.DIVERT),
    ]


def test_how_it_forms_batches(graph):
    hourly, daily = graph.nodes["hourly"].aggregation, graph.nodes["daily"].aggregation
    assert (hourly.count, hourly.timeout_seconds, hourly.condition) == (100, 2.5, None)
    assert (hourly.output_mode, hourly.expected_output_count) == (OutputMode.TRANSFORM, 5)
    assert daily.condition.evaluate({"batch_count": 11, "batch_age_seconds": 0.0}) is True
    assert daily.output_mode is OutputMode.PASSTHROUGH


def test_text_has_the_stages(graph):
    text = draw_text(graph)
    assert (
        "[stage 2, behind stage 1]\n\ndaily  (aggregation: batch_replicate, row['batch_count'] > 10" in text
    )
    assert "hourly  (aggregation: batch_replicate, 100 rows or 2.5 s)" in text
    assert "== left  ==> hourly" in text
    assert text.index("[stage 3") < text.index("[sinks]") < text.index("out  (sink: csv)")


def test_mermaid_has_the_stages(graph):
    lines = draw_mermaid(graph).splitlines()
    box = lines.index('    subgraph s1["stage 1, behind stage 0"]')
    assert "hourly" in lines[box + 1]
    assert "after" in lines[box + 2]
    assert lines[box + 3] == "    end"
    assert any('==>|"left"|' in line for line in lines)


def test_text_of_a_coalesce(compiled):
    text = draw_text(
        compiled(
            SETTINGS.split("gates:", maxsplit=1)[0]
            + 'gates:\n  - {name: g, input: rows, condition: "True", routes: {true: fork}, fork_to: [a, b]}\n'
            + "transforms:\n  - {name: t, plugin: passthrough, input: a, on_success: x, on_error: bad}\n"
            + "coalesce:\n  - {name: join, branches: {a: x, b: b}, policy: quorum, quorum_count: 1, "
            + "timeout_seconds: 2, merge: select, select_branch: b, on_success: out}\n"
            + "sinks:\n  out: {plugin: csv, options: {path: out.csv}}\n"
            + "  bad: {plugin: csv, options: {path: bad.csv}}\n"
        ).graph
    )
    assert "join  (coalesce: quorum of 1, 2 s, select b, forked at g)" in text
    assert "-- on_success (branch a) --> join" in text
    assert "== b ==> join" in text


def one(trigger: str = "{count: 2}", **keys: str) -> str:
    keys = {
        "plugin": "batch_replicate",
        "input": "rows",
        "on_error": "discard",
        "on_success": "out",
        "trigger": trigger,
        **keys,
    }
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items() if value)
    return (
        SETTINGS.split("gates:", maxsplit=1)[0]
        + f"aggregations:\n  - name: agg\n{lines}"
        + "sinks:\n  out: {plugin: csv, options: {path: out.csv}}\n"
    )


def test_w15_on_error_names_no_sink(problems):
    (problem,) = problems(one(on_error="uot  #!"))
    assert "'uot' is not a sink; on_error takes a sink or 'discard'" in problem.message


def test_on_success_names_nothing(problems):
    (problem, _) = problems(
        one(on_success="uot  #!").replace("options: {path: out.csv}}", "options: {path: out.csv}}  #!")
    )
    assert "'uot' is neither a sink nor the input of a node" in problem.message


def test_nothing_takes_the_rows_of_its_name(problems):
    found = problems(
        one(on_success="")
        .replace("name: agg", "name: agg  #!")
        .replace("options: {path: out.csv}}", "options: {path: out.csv}}  #!")
    )
    assert "nothing takes the rows of 'agg': give it an on_success" in found[0].message


def test_w20_a_transform_of_rows(problems):
    (problem,) = problems(one(plugin="truncate  #!"))
    assert problem.message == (
        "'truncate' takes rows one by one; an aggregation takes a transform of batches: "
        "batch_replicate, batch_stats"
    )


def test_w20_unknown(problems):
    (problem,) = problems(one(plugin="batch_stat  #!"))
    assert problem.message == (
        "there is no batch transform plugin 'batch_stat'; installed: batch_replicate, batch_stats; "
        "did you mean 'batch_stats'?"
    )


def test_a_transform_of_batches_among_the_transforms(problems):
    (problem,) = problems(
        SETTINGS.split("gates:", maxsplit=1)[0]
        + "transforms:\n  - name: t\n    plugin: batch_stats  #!\n    input: rows\n    on_success: out\n"
        + "    on_error: discard\nsinks:\n  out: {plugin: csv, options: {path: out.csv}}\n"
    )
    assert (
        "'batch_stats' takes batches of rows; it goes into 'aggregations', with a trigger" in problem.message
    )
    assert "keyword_filter, passthrough, truncate" in problem.message


def test_a_plugin_of_one_s_own(compiled, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "medians.py").write_text(
        "from elspeth_dagster.plugins import BatchResult, BatchTransform\n"
        "class Medians(BatchTransform):\n"
        "    def process(self, frame):\n        return BatchResult(frame)\n"
    )
    assert compiled(one(plugin="medians")).graph.nodes["agg"].plugin == "medians"


def test_batch_stats_makes_rows_of_its_own(problems):
    (problem,) = problems(
        one(plugin="batch_stats", options="{value_field: v}", output_mode="passthrough  #!")
    )
    assert problem.message == "'batch_stats' makes rows of its own; accepted: transform"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("row['batch_count'] >", "condition"),
        ("row['v'] > 1", "may read only row['batch_age_seconds'] and row['batch_count']"),
        ("row['batch_count']", "must always be a bool"),
    ],
)
def test_conditions_that_are_none(problems, condition, message):
    (problem,) = problems(one(trigger=f'\n      condition: "{condition}"  #!'))
    assert problem.key_path == "aggregations[0].trigger.condition"
    assert message in problem.message or "expression" in problem.message


def test_its_schema_is_held_against_the_node_before(problems):
    (problem,) = problems(
        one(options="\n      schema:\n        mode: observed\n        required_fields: [v]  #!")
    )
    assert "'agg' takes rows of 'source': it requires the field 'v'" in problem.message


def test_what_batch_stats_always_gives(compiled, problems):
    def pipeline(needed: str, mark: str = "") -> str:
        return one(plugin="batch_stats", options="{value_field: v, group_by: k}", on_success="").replace(
            "sinks:",
            "transforms:\n  - name: t\n    plugin: passthrough\n    input: agg\n    on_success: out\n"
            f"    on_error: discard\n    options:\n      required_input_fields: [{needed}]{mark}\nsinks:",
        )

    compiled(pipeline("count, sum, batch_size, mean, skipped_non_finite, k"))
    (problem,) = problems(pipeline("v", "  #!"))
    assert "'t' takes rows of 'agg': it requires the field 'v'" in problem.message

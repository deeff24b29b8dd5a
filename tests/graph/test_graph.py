"""The compiled graph: order, edges, publish order, drawings."""

import pytest

from elspeth_dagster.graph import EdgeMode, NodeKind, draw_mermaid, draw_text
from elspeth_dagster.rows.fields import SchemaMode

SETTINGS = """
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: bad
    schema: {mode: fixed, fields: ["id: int", "name: str"]}
transforms:
  - name: shorten
    plugin: truncate
    input: small
    on_success: low
    on_error: bad
    options: {fields: {name: 3}}
  - {name: check, plugin: passthrough, input: rows, on_success: checked, on_error: discard}
gates:
  - name: split
    input: checked
    condition: row['id'] > 3
    routes: {true: high, false: small}
    on_error: bad
sinks:
  worse: {plugin: json, options: {path: worse.jsonl}}
  low: {plugin: csv, on_write_failure: worse, options: {path: low.csv}}
  high: {plugin: csv, options: {path: high.csv}}
  bad: {plugin: json, options: {path: bad.jsonl}}
"""


@pytest.fixture
def graph(compiled):
    return compiled(SETTINGS).graph


def test_nodes_are_in_topological_order_and_sinks_in_publish_order(graph):
    assert list(graph.nodes) == ["source", "check", "split", "shorten", "low", "worse", "high", "bad"]
    assert graph.sinks == ("low", "worse", "high", "bad")


def test_edges_have_label_and_mode(graph):
    edges = {(edge.source, edge.target, edge.label, edge.mode) for edge in graph.edges}
    assert edges == {
        ("source", "check", "on_success", EdgeMode.MOVE),
        ("source", "bad", "on_validation_failure", EdgeMode.DIVERT),
        ("check", "split", "on_success", EdgeMode.MOVE),
        ("split", "high", "true", EdgeMode.MOVE),
        ("split", "shorten", "false", EdgeMode.MOVE),
        ("split", "bad", "on_error", EdgeMode.DIVERT),
        ("shorten", "low", "on_success", EdgeMode.MOVE),
        ("shorten", "bad", "on_error", EdgeMode.DIVERT),
        ("low", "worse", "on_write_failure", EdgeMode.DIVERT),
    }


def test_edges_of_a_node(graph):
    assert [edge.target for edge in graph.out_edges("split")] == ["high", "shorten", "bad"]
    assert [edge.source for edge in graph.in_edges("bad")] == ["source", "split", "shorten"]


def test_stages(graph):
    assert [node.name for node in graph.stage_nodes(0)] == ["source", "check", "split", "shorten"]
    assert all(node.stage is None for node in graph.nodes.values() if node.kind is NodeKind.SINK)
    assert graph.stages == (0,)
    assert graph.feeding_stages("high") == (0,)
    assert graph.feeding_stages("worse") == ()


def test_a_gate_has_the_schema_of_the_node_before_it(graph):
    assert graph.nodes["source"].schema.mode is SchemaMode.FIXED
    assert graph.nodes["split"].schema.mode is SchemaMode.OBSERVED


def test_a_node_knows_its_place_and_options(graph):
    assert graph.nodes["check"].key_path == ("transforms", 1)
    assert graph.nodes["low"].options["path"] == "low.csv"


def test_two_sinks_cannot_write_one_file(problems):
    (problem,) = problems(SETTINGS.replace("path: high.csv}}", "path: ./low.csv}}  #!"))
    assert "the sink 'low' writes the same file" in problem.message


def test_a_sink_cannot_replace_what_the_source_reads(problems, compiled):
    read = SETTINGS.replace("path: high.csv}}", "path: ./in.csv}}  #!")
    assert read.count("in.csv") == 2
    (problem,) = problems(read)
    assert "the source reads this file" in problem.message
    assert compiled(read.replace("path: ./in.csv}}  #!", "path: ./in.csv, mode: append}}"))


def test_text(graph):
    text = draw_text(graph)
    assert "check  (transform: passthrough)" in text
    assert "split  (gate: row['id'] > 3)" in text
    assert "-- true     --> high" in text
    assert "·· on_error ··> bad" in text


def test_mermaid(graph):
    lines = draw_mermaid(graph).splitlines()
    assert lines[0] == "flowchart LR"
    assert "    n2{\"split<br/><small>gate: row['id'] #62; 3</small>\"}" in lines
    assert '    n2 -->|"true"| n6' in lines
    assert '    n2 -.->|"on_error"| n7' in lines

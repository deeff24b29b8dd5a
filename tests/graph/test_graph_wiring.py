"""Every load error of the settings reference, 1.6, with its line."""

import pytest

SOURCE = """
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
"""
OUT = """
sinks:
  out: {plugin: csv, options: {path: out.csv}}
"""


def transform(name: str, takes: str, gives: str, *, on_error: str = "discard", mark: str = "") -> str:
    marks = {key: "  #!" if key == mark else "" for key in ("name", "input", "on_success", "on_error")}
    return (
        f"  - name: {name}{marks['name']}\n"
        "    plugin: passthrough\n"
        f"    input: {takes}{marks['input']}\n"
        f"    on_success: {gives}{marks['on_success']}\n"
        f"    on_error: {on_error}{marks['on_error']}\n"
    )


def gate(routes: str) -> str:
    return f"gates:\n  - {{name: g, input: rows, condition: \"row['a'] > 1\", routes: {routes}}}\n"


def chain(*entries: str) -> str:
    return "transforms:\n" + "".join(entries)


def test_w1_two_producers_of_one_connection(problems):
    (problem,) = problems(
        SOURCE
        + chain(transform("one", "low", "clean"), transform("two", "clean", "out"))
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a'] > 1\n"
        + "    routes:\n      true: low\n      false: clean  #!\n"
        + OUT
    )
    assert "connection 'clean' already comes from 'one'" in problem.message
    assert problem.key_path == "gates[0].routes.false"


def test_w1_not_for_two_routes_of_one_gate(compiled):
    pipeline = compiled(
        SOURCE + gate("{true: next, false: next}") + chain(transform("one", "next", "out")) + OUT
    )
    assert [edge.label for edge in pipeline.graph.out_edges("g")] == ["true", "false"]


def test_w1_not_for_a_sink(compiled):
    pipeline = compiled(
        SOURCE + gate("{true: next, false: out}") + chain(transform("one", "next", "out")) + OUT
    )
    assert len(pipeline.graph.in_edges("out")) == 2


def test_w2_two_consumers_of_one_connection(problems):
    found = problems(
        SOURCE
        + chain(
            transform("one", "rows", "out"),
            "  - name: two  #!\n    plugin: passthrough\n    input: rows  #!\n"
            "    on_success: out\n    on_error: discard\n",
        )
        + OUT
    )
    assert "already goes to 'one'" in found[1].message


def test_w3_input_without_producer(problems):
    found = problems(
        SOURCE
        + chain(transform("one", "rows", "out"))
        + "gates:\n  - name: g  #!\n    input: rwos  #!\n    condition: row['a'] > 1\n"
        + "    routes: {true: out, false: out}\n"
        + OUT
    )
    message = next(p.message for p in found if p.key_path == "gates[0].input")
    assert "no node produces the connection 'rwos'" in message
    assert "did you mean 'rows'?" in message


@pytest.mark.parametrize("section", ["transforms", "gates"])
def test_w3_w5_sink_as_input(problems, section):
    entry = {
        "transforms": "transforms:\n  - name: t #!\n    plugin: passthrough\n    input: out  #!\n"
        "    on_success: out\n    on_error: discard\n",
        "gates": "gates:\n  - name: t #!\n    input: out  #!\n    condition: row['a'] > 1\n"
        "    routes: {true: out, false: out}\n",
    }[section]
    found = problems(SOURCE.replace("rows", "out") + entry + OUT)
    message = next(p.message for p in found if p.key_path.endswith("input"))
    assert "'out' is a sink, and nothing comes out of a sink" in message


def test_w4_source_to_nowhere(problems):
    found = problems(
        """
        source:
          plugin: csv
          on_success: uot  #!
          options: {path: in.csv, on_validation_failure: discard}
        sinks:
          out: {plugin: csv, options: {path: out.csv}}  #!
        """
    )
    assert (
        "'uot' is neither a sink nor the input of a node; accepted: out; did you mean 'out'?"
        in found[0].message
    )
    assert "never used" in found[1].message


def test_w4_transform_to_nowhere(problems):
    found = problems(
        SOURCE + chain(transform("one", "rows", "nowhere", mark="on_success")) + OUT.replace("}}", "}}  #!")
    )
    assert found[0].key_path == "transforms[0].on_success"


def test_w6_route_to_nowhere(problems):
    (problem,) = problems(
        SOURCE
        + """
gates:
  - name: g
    input: rows
    condition: row['a'] > 1
    routes:
      "true": out
      "false": uot  #!
"""
        + OUT
    )
    assert problem.key_path == "gates[0].routes.false"
    assert "did you mean 'out'?" in problem.message


def test_discard_is_no_destination(problems):
    (problem,) = problems(
        SOURCE
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a'] > 1\n"
        + "    routes:\n      true: out\n      false: discard  #!\n"
        + OUT
    )
    assert "'discard' is no destination here" in problem.message


def test_w7_fork_to_without_route(problems):
    (problem,) = problems(
        SOURCE
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a'] > 1\n"
        + "    routes: {true: out, false: out}\n    fork_to: [out]  #!\n"
        + OUT
    )
    assert "no route leads to 'fork'" in problem.message


def test_w11_on_error_names_no_sink(problems):
    (problem,) = problems(
        SOURCE + chain(transform("one", "rows", "out", on_error="uot", mark="on_error")) + OUT
    )
    assert "'uot' is not a sink; on_error takes a sink or 'discard'" in problem.message
    assert "accepted: out, discard; did you mean 'out'?" in problem.message


def test_w11_on_error_names_a_connection(problems):
    (problem,) = problems(
        SOURCE + chain(transform("one", "rows", "out", on_error="rows", mark="on_error")) + OUT
    )
    assert "'rows' is a connection, not a sink" in problem.message


def test_gate_on_error_names_no_sink(problems):
    (problem,) = problems(
        SOURCE
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a'] > 1\n    on_error: nope  #!\n"
        + "    routes: {true: out, false: out}\n"
        + OUT
    )
    assert problem.key_path == "gates[0].on_error"


def sinks(*entries: str) -> str:
    return SOURCE.replace("rows", "out") + "sinks:\n" + "".join(entries)


def sink(name: str, failures: str, *, plugin: str = "csv", mark: bool = True) -> str:
    return (
        f"  {name}:\n    plugin: {plugin}\n    on_write_failure: {failures}{'  #!' if mark else ''}\n"
        f"    options: {{path: {name}.csv}}\n"
    )


def test_w12_on_write_failure_names_no_sink(problems):
    (problem,) = problems(sinks(sink("out", "tuo")))
    assert "'tuo' is not a sink; on_write_failure takes a sink or 'discard'" in problem.message


def test_w12_on_write_failure_names_itself(problems):
    (problem,) = problems(sinks(sink("out", "out")))
    assert "cannot go to that same sink" in problem.message


def test_w12_sinks_that_point_at_each_other(problems):
    found = problems(
        sinks(
            "  out:  #!\n    plugin: csv\n    on_write_failure: bad\n    options: {path: out.csv}\n",
            sink("bad", "out", mark=False),
        )
    )
    assert "rows would go round for ever: out -> bad -> out; let one of them" in found[0].message


def test_w13_failure_sink_with_failures_of_its_own(problems):
    (problem,) = problems(
        sinks(sink("out", "bad"), sink("bad", "worse", mark=False), sink("worse", "discard", mark=False))
    )
    assert "'bad' has an on_write_failure of its own ('worse')" in problem.message


def test_w13_failure_sink_may_discard(compiled):
    graph = compiled(sinks(sink("bad", "discard"), sink("out", "bad"))).graph
    assert graph.sinks == ("out", "bad")


def test_w13_failure_sink_that_is_no_file(problems, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "queue.py").write_text(
        "from elspeth_dagster.plugins.base import RowSink\n"
        "class Queue(RowSink):\n"
        "    def write(self, rows):\n        raise NotImplementedError\n"
    )
    queue = "  bad:\n    plugin: queue\n"
    (problem,) = problems(sinks(sink("out", "bad"), queue))
    assert "'bad' does not take just any row" in problem.message


def test_w14_on_validation_failure_names_no_sink(problems):
    (problem,) = problems(
        """
        source:
          plugin: csv
          on_success: out
          options:
            path: in.csv
            on_validation_failure: quarantine  #!
        sinks:
          out: {plugin: csv, options: {path: out.csv}}
        """
    )
    assert "'quarantine' is not a sink; on_validation_failure takes a sink or 'discard'" in problem.message
    assert problem.key_path == "source.options.on_validation_failure"


def test_w16_unreachable_node_and_its_sink(problems):
    found = problems(
        SOURCE.replace("rows", "out")
        + chain(
            "  - name: lost  #!\n    plugin: passthrough\n    input: void  #!\n"
            "    on_success: other\n    on_error: discard\n"
        )
        + OUT
        + "  other: {plugin: csv, options: {path: other.csv}}  #!\n"
    )
    messages = [problem.message for problem in found]
    assert any("no row can reach 'lost'" in message for message in messages)
    assert any("no row can reach the sink 'other'" in message for message in messages)


def test_w16_unused_sink(problems):
    (problem,) = problems(
        SOURCE.replace("rows", "out") + OUT + "  spare: {plugin: csv, options: {path: s.csv}}  #!\n"
    )
    assert "the sink 'spare' is never used" in problem.message


@pytest.mark.parametrize("key", ["on_error", "on_validation_failure", "on_write_failure"])
def test_w16_not_for_a_sink_that_takes_what_is_set_aside(compiled, key):
    source = SOURCE.replace("failure: discard", "failure: bad") if key == "on_validation_failure" else SOURCE
    on_error = "bad" if key == "on_error" else "discard"
    out = "on_write_failure: bad, " if key == "on_write_failure" else ""
    graph = compiled(
        source
        + chain(transform("one", "rows", "out", on_error=on_error))
        + f"sinks:\n  out: {{plugin: csv, {out}options: {{path: out.csv}}}}\n"
        + "  bad: {plugin: json, options: {path: bad.jsonl}}\n"
    ).graph
    assert [(edge.label, edge.mode.value) for edge in graph.in_edges("bad")] == [(key, "divert")]


def test_w17_cycle(problems):
    (problem,) = problems(
        SOURCE.replace("rows", "out")
        + chain(
            transform("one", "b", "a", mark="name"),
            transform("two", "a", "b"),
        )
        + OUT
    )
    assert problem.message.startswith("rows would go round for ever: one -> two -> one; let one of them")


def test_w18_route_called_as_the_divert_edge(problems):
    (problem,) = problems(
        SOURCE
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a']\n    on_error: out\n"
        + "    routes:\n      on_error: out  #!\n"
        + OUT
    )
    assert "two edges of 'g' would bear the label 'on_error'" in problem.message


def test_w19_duplicate_names(problems):
    (problem,) = problems(
        SOURCE + chain(transform("one", "rows", "next"), transform("one", "next", "out", mark="name")) + OUT
    )
    assert "the name 'one' is taken" in problem.message


def test_all_at_once_in_the_order_of_the_file(problems):
    found = problems(
        """
        source:
          plugin: csv
          on_success: rows
          options:
            path: in.csv
            on_validation_failure: nope  #!
            skip_rows: minus one  #!
        transforms:
          - name: one
            plugin: pasthrough  #!
            input: rows
            on_success: next
            on_error: nope  #!
        gates:
          - name: g
            input: next
            condition: row.a > 1  #!
            routes: {true: out, false: nope}  #!
        sinks:
          out: {plugin: csv, options: {path: out.csv, schema: {mode: strict}}}  #!
        """
    )
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert len(found) == 7

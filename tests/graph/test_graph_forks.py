"""Branches of forks: to a coalesce, to a sink, or to a chain that ends in one (W7 to W9)."""

import pytest

from elspeth_dagster.graph import EdgeMode

HEAD = """
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
"""
SINKS = """
sinks:
  out: {plugin: csv, options: {path: out.csv}}
  side: {plugin: csv, options: {path: side.csv}}
"""
TO_SIDE = "  - {name: aside, plugin: passthrough, input: rest, on_success: side, on_error: discard}\n"


def gate(branches: str, *, name: str = "g", source: str = "rows", routes: str = "", mark: str = "") -> str:
    return (
        f"  - name: {name}\n    input: {source}\n    condition: row['a'] == '1'\n"
        f"    routes: {{true: fork, {routes or 'false: out'}}}\n    fork_to: [{branches}]{mark}\n"
    )


def forked(branches: str, more: str = "", *, mark: str = "  #!", routes: str = "") -> str:
    return HEAD + "gates:\n" + gate(branches, mark=mark, routes=routes) + more + SINKS


def edges(graph, source):
    return [(edge.target, edge.label, edge.mode, edge.branch) for edge in graph.out_edges(source)]


def test_branches_to_coalesce_chain_and_sink(compiled):
    graph = compiled(
        forked(
            "left, right, rest, out",
            "transforms:\n"
            "  - {name: t, plugin: passthrough, input: left, on_success: done, on_error: discard}\n"
            + TO_SIDE
            + "coalesce:\n  - {name: join, branches: {right: right, left: done}, on_success: out}\n",
            mark="",
        )
    ).graph
    assert edges(graph, "g") == [
        ("out", "false", EdgeMode.MOVE, None),
        ("t", "left", EdgeMode.COPY, None),
        ("join", "right", EdgeMode.COPY, "right"),
        ("aside", "rest", EdgeMode.COPY, None),
        ("out", "out", EdgeMode.COPY, None),
    ]
    assert edges(graph, "t") == [("join", "on_success", EdgeMode.MOVE, "left")]
    assert edges(graph, "join") == [("out", "on_success", EdgeMode.MOVE, None)]
    assert graph.nodes["g"].gate.fork_to == ("left", "right", "rest", "out")
    assert graph.nodes["g"].gate.routes["true"] == "fork"


def test_a_coalesce_goes_before_a_sink_of_the_branch_s_name(compiled):
    graph = compiled(
        forked(
            "side, right", "coalesce:\n  - {name: join, branches: [side, right], on_success: side}\n", mark=""
        )
    ).graph
    assert [edge.target for edge in graph.out_edges("g")] == ["out", "join", "join"]
    assert [edge.source for edge in graph.in_edges("side")] == ["join"]


def test_a_gate_s_routes_into_a_coalesce_are_edges_of_their_own(compiled):
    graph = compiled(
        HEAD
        + "gates:\n"
        + gate("left, right")
        + "  - name: h\n    input: left\n    condition: row['b']\n    routes: {x: done, y: done, z: side}\n"
        + "coalesce:\n  - {name: join, branches: {left: done, right: right}, on_success: out}\n"
        + SINKS
    ).graph
    assert edges(graph, "h")[:2] == [
        ("join", "x", EdgeMode.MOVE, "left"),
        ("join", "y", EdgeMode.MOVE, "left"),
    ]


def test_a_single_branch(compiled):
    graph = compiled(forked("side", mark="")).graph
    assert edges(graph, "g")[1] == ("side", "side", EdgeMode.COPY, None)


def test_a_branch_that_leads_nowhere(problems):
    (problem,) = problems(forked("sied, side"))
    assert (
        "'sied' leads nowhere: it is no sink, no branch of a coalesce and no node's input" in problem.message
    )
    assert "did you mean 'side'?" in problem.message
    assert problem.key_path == "gates[0].fork_to[0]"


def test_a_branch_whose_chain_has_no_first_node(problems):
    found = problems(
        forked(
            "left, side, right",
            "transforms:\n"
            "  - name: t  #!\n    plugin: passthrough\n    input: letf  #!\n    on_success: done\n"
            "    on_error: discard\n"
            "coalesce:\n  - {name: join, branches: {left: done, right: right}, on_success: out}\n",
        )
    )
    assert [problem.key_path for problem in found] == [
        "gates[0].fork_to[0]",
        "transforms[0]",
        "transforms[0].input",
    ]
    assert "'join' takes it from the connection 'done', but no node has 'input: left'" in found[0].message
    assert "'join' has 'left: left'" in found[0].message
    assert "did you mean 'left'?" in found[2].message


def test_a_branch_twice_in_one_gate(problems):
    (problem,) = problems(forked("side, out, side"))
    assert problem.message == "'side' is listed more than once"
    assert problem.key_path == "gates[0].fork_to[2]"


@pytest.mark.parametrize("branch", ["side", "left"])
def test_a_branch_of_two_gates(problems, branch):
    (problem,) = problems(
        HEAD
        + "gates:\n"
        + gate(f"{branch}, more, side" if branch == "left" else "side, more")
        + gate(f"{branch}, out", name="h", source="more", mark="  #!", routes="false: out")
        + "transforms:\n"
        + "  - {name: t, plugin: passthrough, input: left, on_success: out, on_error: discard}\n"
        * (branch == "left")
        + SINKS
    )
    assert f"the gate 'g' has a branch '{branch}' already" in problem.message


def test_a_branch_that_is_a_route_too(problems):
    (problem,) = problems(
        HEAD
        + "gates:\n"
        + gate("rest, out", routes="false: rest", mark="  #!")
        + "transforms:\n"
        + TO_SIDE
        + SINKS
    )
    assert "'rest' is a route of 'g' too; a branch has a connection of its own" in problem.message


def test_w18_a_branch_called_as_a_route(problems):
    (problem,) = problems(
        HEAD
        + "gates:\n  - name: g\n    input: rows\n    condition: row['a']\n"
        + "    routes: {split: fork, side: out}\n    fork_to: [side, out]  #!\n"
        + SINKS
    )
    assert "two edges of 'g' would bear the label 'side': this branch and the route 'side'" in problem.message


def test_a_branch_with_two_consumers(problems):
    (problem,) = problems(
        forked(
            "left, right",
            "transforms:\n"
            "  - {name: t, plugin: passthrough, input: left, on_success: side, on_error: discard}\n"
            "coalesce:\n  - {name: join, branches: [left, right], on_success: out}  #!\n",
            mark="",
        )
    )
    assert "connection 'left' already goes to 't'; a connection has one consumer" in problem.message


def test_a_branch_that_no_gate_forks(problems):
    found = problems(
        forked(
            "left, right",
            "coalesce:\n  - name: join\n    on_success: out\n"
            "    branches:\n      - left\n      - rihgt  #!\n",
        ).replace("fork_to: [left, right]", "fork_to: [left, right, side]")
    )
    assert [problem.key_path for problem in found] == ["gates[0].fork_to[1]", "coalesce[0].branches[1]"]
    assert "'right' leads nowhere" in found[0].message
    assert "no gate forks the branch 'rihgt'; a branch is an entry of a gate's fork_to" in found[1].message
    assert "did you mean 'right'?" in found[1].message


def test_a_branch_of_two_coalesces(problems):
    (problem,) = problems(
        forked(
            "left, right, third",
            "coalesce:\n  - {name: one, branches: [left, right], on_success: out}\n"
            "  - {name: two, branches: [third, right], on_success: side}  #!\n",
            mark="",
        )
    )
    assert problem.message == "'one' takes the branch 'right' already; a branch has one coalesce"
    assert problem.key_path == "coalesce[1].branches[1]"


def test_w10_on_success_of_a_coalesce_is_a_connection(problems):
    (problem,) = problems(
        forked(
            "left, right, rest",
            "transforms:\n"
            + TO_SIDE
            + "coalesce:\n  - {name: join, branches: [left, right], on_success: rest}  #!\n",
            mark="",
        )
    )
    assert "'rest' is a connection; a coalesce's on_success takes a sink" in problem.message
    assert "leave on_success out and write 'input: join' there" in problem.message


def test_w10_on_success_of_a_coalesce_is_unknown(problems):
    (problem,) = problems(
        forked(
            "left, right, side",
            "coalesce:\n  - {name: join, branches: [left, right], on_success: otu}  #!\n",
            mark="",
        )
    )
    assert "'otu' is not a sink" in problem.message
    assert "did you mean 'out'?" in problem.message


def test_nothing_takes_the_merged_rows(problems):
    (problem,) = problems(
        forked("left, right, side", "coalesce:\n  - {name: join, branches: [left, right]}  #!\n", mark="")
    )
    assert problem.message == (
        "nothing takes the rows of 'join': give it an on_success, or a node behind it 'input: join'"
    )


def test_a_branch_arrives_by_a_sink(problems):
    found = problems(
        forked(
            "left, right",
            "coalesce:\n  - {name: join, branches: {left: side, right: right}, on_success: side}  #!\n",
        )
    )
    assert any(
        "'side' is a sink, and nothing comes out of a sink; a branch takes" in p.message for p in found
    )

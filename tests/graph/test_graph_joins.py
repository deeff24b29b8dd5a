"""Where the branches of coalesces part, and what cannot meet again."""

import pytest

from elspeth_dagster.rows.tokens import PathKind
from elspeth_dagster.settings.nodes import CoalescePolicy, MergeStrategy

HEAD = """
source:
  plugin: csv
  on_success: rows
  options: {path: in.csv, on_validation_failure: discard}
"""
SINKS = """
sinks:
  out: {plugin: csv, options: {path: out.csv}}
"""
SIDE = "  side: {plugin: csv, options: {path: side.csv}}\n"


def gate(name: str, source: str, *branches: str, routes: str = "false: out") -> str:
    return (
        f"  - {{name: {name}, input: {source}, condition: \"row['a'] == '1'\", "
        f"routes: {{true: fork, {routes}}}, fork_to: [{', '.join(branches)}]}}\n"
    )


def transform(name: str, source: str, to: str, plugin: str = "passthrough", options: str = "{}") -> str:
    return (
        f"  - {{name: {name}, plugin: {plugin}, input: {source}, on_success: {to}, on_error: discard, "
        f"options: {options}}}\n"
    )


def pipeline(gates: str, coalesces: str, transforms: str = "", aggregations: str = "") -> str:
    sections = {"transforms": transforms, "aggregations": aggregations, "gates": gates, "coalesce": coalesces}
    return (
        HEAD
        + "".join(f"{key}:\n{text}" for key, text in sections.items() if text)
        + SINKS
        + SIDE * ("side" in gates + coalesces)
    )


def test_the_rule_of_a_coalesce(compiled):
    graph = compiled(
        pipeline(
            gate("g", "rows", "a", "b", "c"),
            "  - {name: join, branches: [c, a, b], policy: quorum, quorum_count: 2, timeout_seconds: 1.5, "
            "merge: select, select_branch: b, on_success: out}\n",
        )
    ).graph
    rule = graph.nodes["join"].coalesce
    assert rule.branches == ("c", "a", "b")
    assert (rule.policy, rule.quorum_count, rule.timeout_seconds) == (CoalescePolicy.QUORUM, 2, 1.5)
    assert (rule.merge, rule.select_branch) == (MergeStrategy.SELECT, "b")
    assert (rule.anchor, rule.ordinal) == ("g", 0)
    assert rule.arrival_order == ("a", "b", "c")
    assert rule.paths == {
        "a": ((PathKind.FORK, 0),),
        "b": ((PathKind.FORK, 1),),
        "c": ((PathKind.FORK, 2),),
    }


def test_branches_of_different_gates_part_at_the_outer_one(compiled):
    graph = compiled(
        pipeline(
            gate("outer", "rows", "p", "q") + gate("inner", "p", "one", "two"),
            "  - {name: join, branches: [two, q, one], on_success: out}\n",
        )
    ).graph
    rule = graph.nodes["join"].coalesce
    assert rule.anchor == "outer"
    assert rule.arrival_order == ("one", "two", "q")
    assert rule.paths["two"] == ((PathKind.FORK, 0), (PathKind.FORK, 1))


def test_a_join_within_a_join(compiled):
    graph = compiled(
        pipeline(
            gate("outer", "rows", "p", "q") + gate("inner", "p", "one", "two"),
            "  - {name: last, branches: {p: after, q: q}, on_success: out}\n"
            "  - {name: first, branches: [one, two]}\n",
            transform("t", "first", "after"),
        )
    ).graph
    assert graph.nodes["first"].coalesce.anchor == "inner"
    rule = graph.nodes["last"].coalesce
    assert rule.anchor == "outer"
    assert rule.paths == {"p": ((PathKind.FORK, 0), (PathKind.MERGE, 0)), "q": ((PathKind.FORK, 1),)}
    assert list(graph.nodes) == ["source", "outer", "inner", "first", "t", "last", "out"]
    assert [edge.branch for edge in graph.in_edges("last")] == ["q", "p"]


def test_merged_rows_meet_another_branch_of_their_gate(compiled):
    graph = compiled(
        pipeline(
            gate("outer", "rows", "p") + gate("inner", "p", "one", "two", "three"),
            "  - {name: last, branches: {p: first, three: three}, on_success: out}\n"
            "  - {name: first, branches: [one, two]}\n",
        )
    ).graph
    rule = graph.nodes["last"].coalesce
    assert rule.anchor == "inner"
    assert rule.arrival_order == ("three", "p")
    assert rule.ordinal == 0
    assert graph.nodes["first"].coalesce.ordinal == 1
    assert rule.paths["p"] == ((PathKind.MERGE, 1),)


def test_coalesces_of_one_gate_are_numbered_as_the_settings_have_them(compiled):
    graph = compiled(
        pipeline(
            gate("g", "rows", "a", "b", "c", "d") + gate("h", "two", "e", "f"),
            "  - {name: two, branches: [c, d]}\n"
            "  - {name: other, branches: [e, f], on_success: side}\n"
            "  - {name: one, branches: [a, b], on_success: out}\n",
        )
    ).graph
    ordinals = {name: graph.nodes[name].coalesce.ordinal for name in ("one", "two", "other")}
    assert ordinals == {"two": 0, "other": 0, "one": 1}


def test_a_coalesce_is_of_the_stage_of_its_branches(compiled):
    graph = compiled(
        pipeline(
            gate("g", "batches", "a", "b"),
            "  - {name: join, branches: [a, b], on_success: out}\n",
            aggregations="  - {name: batches, plugin: batch_replicate, input: rows, on_error: discard, "
            "trigger: {count: 2}}\n",
        )
    ).graph
    assert graph.nodes["g"].stage == graph.nodes["join"].stage == 1


@pytest.mark.parametrize(
    ("plugin", "section", "what"),
    [
        ("json_explode", "transforms", "'many' (json_explode)"),
        ("batch_replicate", "aggregations", "'many' (an aggregation)"),
    ],
)
def test_what_makes_several_tokens_of_one_cannot_stand_in_a_branch(problems, plugin, section, what):
    trigger = ", trigger: {count: 2}" if section == "aggregations" else ", options: {array_field: l}"
    many = f"  - {{name: many, plugin: {plugin}, input: a, on_success: done, on_error: discard{trigger}}}\n"
    (problem,) = problems(
        pipeline(
            gate("g", "rows", "a", "b", "side"),
            "  - {name: join, branches: {b: b, a: done}, on_success: out}  #!\n",
            **{section: many},
        )
    )
    assert problem.key_path == "coalesce[0].branches.a"
    assert problem.message.startswith(f"{what} stands in the branch 'a' and makes other tokens")
    assert "put it before 'g' or behind 'join', or let the branch end in a sink" in problem.message


def test_it_can_stand_before_the_gate_and_behind_the_join(compiled):
    graph = compiled(
        pipeline(
            gate("g", "many", "a", "b", "side"),
            "  - {name: join, branches: [a, b]}\n",
            transform("before", "rows", "many", "json_explode", "{array_field: l}")
            + transform("after", "join", "out", "json_explode", "{array_field: m}"),
        )
    ).graph
    assert graph.nodes["join"].coalesce.anchor == "g"


def test_it_can_stand_in_an_outer_branch_before_the_inner_gate(compiled, problems):
    gates = gate("outer", "rows", "p", "q", "side") + gate("inner", "many", "one", "two")
    explode = transform("explode", "p", "many", "json_explode", "{array_field: l}")
    graph = compiled(
        pipeline(
            gates.replace("p, q, side", "p, side"),
            "  - {name: join, branches: [one, two], on_success: out}\n",
            explode,
        )
    ).graph
    assert graph.nodes["join"].coalesce.anchor == "inner"
    found = problems(
        pipeline(gates, "  - {name: join, branches: [one, two, q], on_success: out}  #!\n", explode)
    )
    assert {problem.key_path for problem in found} == {
        "coalesce[0].branches[0]",
        "coalesce[0].branches[1]",
    }


def test_branches_of_different_routes_never_meet(problems):
    (problem,) = problems(
        pipeline(
            "  - {name: top, input: rows, condition: \"row['a'] == '1'\", routes: {true: l, false: r}}\n"
            + gate("g", "l", "a", "side")
            + gate("h", "r", "b", "c"),
            "  - {name: join, branches: [a, b, c], on_success: out}  #!\n",
        )
    )
    assert problem.key_path == "coalesce[0].branches[1]"
    assert "the branches 'a' and 'b' never meet: a row takes one route of the gate 'top'" in problem.message


def test_a_branch_that_is_forked_on_never_meets_its_own_children(problems):
    (problem,) = problems(
        pipeline(
            gate("g", "rows", "p", "side") + gate("h", "p", "a", "b", routes="false: rest"),
            "  - {name: join, branches: {p: rest, a: a, b: b}, on_success: out}  #!\n",
        )
    )
    assert "the branches 'p' and 'a' never meet" in problem.message


def test_a_connection_that_carries_another_branch(problems):
    (problem, _) = problems(
        pipeline(
            gate("g", "rows", "a", "b", "side"),
            "  - {name: join, branches: {a: y, b: x}, on_success: out}  #!\n",
            transform("t", "a", "x") + transform("u", "b", "y"),
        )
    )
    assert problem.key_path == "coalesce[0].branches.a"
    assert problem.message.startswith("the connection 'y' carries the branch 'b', not the branch 'a'")
    assert "here 'b: y'" in problem.message


def test_a_connection_that_carries_no_branch(problems):
    found = problems(
        pipeline(
            gate("g", "x", "a", "b", "side", routes="false: y"),
            "  - {name: join, branches: {a: y, b: b}, on_success: out}  #!\n",
            transform("t", "rows", "x") + transform("u", "a", "out"),
        )
    )
    assert "what arrives by the connection 'y' comes from no fork, not the branch 'a'" in found[0].message


def test_a_cycle_through_a_coalesce(problems):
    (problem,) = problems(
        HEAD
        + "gates:\n"
        + gate("g", "rows", "a", "side")
        + "  - name: h  #!\n    input: join\n    condition: row['a']\n"
        + "    routes: {again: fork, done: out}\n    fork_to: [b]\n"
        + "coalesce:\n  - {name: join, branches: [a, b], policy: first}\n"
        + SINKS
        + SIDE
    )
    assert problem.message.startswith("rows would go round for ever: h -> join -> h; let one of them")


def test_an_unreachable_coalesce(problems):
    found = problems(
        HEAD.replace("rows", "out")
        + "gates:\n  - name: g  #!\n    input: void  #!\n    condition: row['a']\n"
        + "    routes: {x: fork, y: side}\n    fork_to: [a, b]\n"
        + "coalesce:\n  - {name: join, branches: [a, b], on_success: side}  #!\n"
        + SINKS
        + SIDE.replace("\n", "  #!\n")
    )
    assert {problem.message.split(":")[0] for problem in found} >= {
        "no row can reach 'g'",
        "no row can reach 'join'",
        "no row can reach the sink 'side'",
    }

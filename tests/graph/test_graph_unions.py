"""Schemas of branches that a coalesce joins (settings reference, 1.7)."""

import pytest

OBSERVED = "{mode: observed}"


def fixed(*fields: str, mode: str = "fixed") -> str:
    return f"{{mode: {mode}, fields: [{', '.join(repr(field) for field in fields)}]}}"


def pipeline(
    left: str, right: str, *, merge: str = "union", more: str = "", policy: str = "", mark: str = ""
) -> str:
    return f"""
source:
  plugin: csv
  on_success: rows
  options: {{path: in.csv, on_validation_failure: discard}}
gates:
  - {{name: g, input: rows, condition: "True", routes: {{true: fork}}, fork_to: [a, b]}}
transforms:
  - {{name: l, plugin: passthrough, input: a, on_success: x, on_error: discard, options: {{schema: {left}}}}}
  - {{name: r, plugin: passthrough, input: b, on_success: y, on_error: discard, options: {{schema: {right}}}}}
{more}
coalesce:
  - name: join
    merge: {merge}
    {policy}
    branches:
      a: x
      b: y{mark}
    {"" if more else "on_success: out"}
sinks:
  out: {{plugin: csv, options: {{path: out.csv}}}}
"""


def behind(options: str, mark: str = "  #!") -> str:
    return (
        "  - name: t\n    plugin: passthrough\n    input: join\n    on_success: out\n    on_error: discard\n"
        f"    options:\n      {options}{mark}\n"
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (OBSERVED, OBSERVED),
        (fixed("a: int"), fixed("a: int")),
        (fixed("a: int", "b: str"), fixed("b: str?", "a: int", mode="flexible")),
    ],
)
def test_unions_that_fit(compiled, left, right):
    compiled(pipeline(left, right))


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (fixed("a: int"), OBSERVED, "the fields of 'l' are declared, those of 'r' are not"),
        (OBSERVED, fixed("a: int"), "the fields of 'r' are declared, those of 'l' are not"),
        (fixed("a: int"), fixed("a: str"), "field 'a' is int in the branch 'a' and str in the branch 'b'"),
        (fixed("a: int"), fixed("a: int", "b: int"), "field 'b' is declared in the branch 'b' alone"),
    ],
)
def test_unions_that_do_not_fit(problems, left, right, message):
    (problem,) = problems(pipeline(left, right, mark="  #!"))
    assert problem.key_path == "coalesce[0].branches.b"
    assert message in problem.message
    assert "merge: nested" in problem.message


@pytest.mark.parametrize("merge", ["nested", "select\n    select_branch: a"])
def test_other_merges_take_any_schemas(compiled, merge):
    compiled(pipeline(fixed("a: int"), OBSERVED, merge=merge))


def test_a_union_publishes_the_fields_of_its_branches(compiled, problems):
    branch = fixed("v: int", "w: str?")
    graph = compiled(
        pipeline(branch, branch, more=behind(f"schema: {fixed('v: int', 'w: str?')}", mark=""))
    ).graph
    assert graph.nodes["join"].schema.names == ("v", "w")
    (problem,) = problems(pipeline(branch, branch, more=behind(f"schema: {fixed('v: int', 'w: str')}")))
    assert "'t' takes rows of 'join': field 'w' is optional there and required here" in problem.message


GIVES_V = "{mode: observed, guaranteed_fields: [v]}"
NEEDS_V = "required_input_fields: [v]"


def test_a_join_of_all_branches_guarantees_what_one_does(compiled):
    compiled(pipeline(GIVES_V, OBSERVED, more=behind(NEEDS_V, mark="")))


def test_a_join_of_some_branches_guarantees_what_all_do(compiled, problems):
    compiled(pipeline(GIVES_V, GIVES_V, more=behind(NEEDS_V, mark=""), policy="policy: first"))
    (problem,) = problems(pipeline(GIVES_V, OBSERVED, more=behind(NEEDS_V), policy="policy: first"))
    assert "'join' does not guarantee" in problem.message


def test_a_nested_join_guarantees_its_branches(compiled, problems):
    compiled(
        pipeline(OBSERVED, OBSERVED, merge="nested", more=behind("required_input_fields: [a, b]", mark=""))
    )
    problems(pipeline(GIVES_V, GIVES_V, merge="nested", more=behind(NEEDS_V)))


def test_a_selected_branch_guarantees_what_it_does(compiled, problems):
    select = "select\n    select_branch: {}"
    compiled(pipeline(GIVES_V, OBSERVED, merge=select.format("a"), more=behind(NEEDS_V, mark="")))
    problems(pipeline(GIVES_V, OBSERVED, merge=select.format("b"), more=behind(NEEDS_V)))

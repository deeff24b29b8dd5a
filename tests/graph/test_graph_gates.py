"""Conditions and routes (settings reference, 3.1 to 3.3, and its differences 22 and 23)."""

import pytest


def gate(condition: str, *routes: str, mark: str = "routes") -> str:
    marks = {key: "  #!" if key == mark else "" for key in ("condition", "routes")}
    listed = "".join(f"      {route}\n" for route in routes)
    return f"""
source:
  plugin: csv
  on_success: rows
  options: {{path: in.csv, on_validation_failure: discard}}
gates:
  - name: g
    input: rows
    condition: "{condition}"{marks["condition"]}
    routes:{marks["routes"]}
{listed}
sinks:
  out: {{plugin: csv, options: {{path: out.csv}}}}
"""


@pytest.mark.parametrize(
    ("condition", "routes"),
    [
        ("row['a'] > 1", ["true: out", "false: out"]),
        ("row['a'] > 1", ["'true': out", "'false': out"]),
        ("True", ["true: out"]),
        ("True", ["true: out", "false: out"]),
        ("not True", ["false: out"]),
        ("row['a']", ["true: out", "very high: out", "'1.5': out"]),
        ("'high' if row['a'] > 3 else 'low'", ["high: out"]),
        ("'always'", ["always: out", "never: out"]),
    ],
)
def test_accepted(compiled, condition, routes):
    graph = compiled(gate(condition, *routes, mark="")).graph
    assert graph.nodes["g"].gate.condition.text == condition
    assert list(graph.nodes["g"].gate.routes) == [edge.label for edge in graph.out_edges("g")]


@pytest.mark.parametrize(
    ("condition", "routes", "message"),
    [
        ("row['a'] > 1", ["true: out"], "the condition can be false, and there is no route 'false'"),
        ("True", ["false: out"], "the condition can be true, and there is no route 'true'"),
        ("'high'", ["low: out"], "always gives 'high', which has no route; routes: low"),
    ],
)
def test_missing_route(problems, condition, routes, message):
    (problem,) = problems(gate(condition, *routes))
    assert message in problem.message
    assert problem.key_path == "gates[0].routes"


def test_route_that_nothing_can_take(problems):
    (problem,) = problems(gate("row['a'] > 1", "true: out", "false: out", "maybe: out  #!", mark=""))
    assert "nothing can take the route 'maybe'; accepted: true, false" in problem.message
    assert problem.key_path == "gates[0].routes.maybe"


@pytest.mark.parametrize("condition", ["row['a'] ** 2", "x > 1", "row['s'].upper()", "row['a'] >"])
def test_condition_outside_the_language(problems, condition):
    (problem,) = problems(gate(condition, "true: out", mark="condition"))
    assert problem.key_path == "gates[0].condition"
    assert condition in problem.message

"""What one node publishes against what the next one needs (settings reference, 1.7)."""

import pytest

FIXED = "{mode: fixed, fields: [%s]}"
FLEXIBLE = "{mode: flexible, fields: [%s]}"
OBSERVED = "{mode: observed}"


def pipeline(given: str, wanted: str, options: str = "", *, plugin: str = "passthrough") -> str:
    return f"""
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: discard
    schema: {given}
gates:
  - {{name: g, input: rows, condition: "True", routes: {{true: checked}}}}
transforms:
  - name: t
    plugin: {plugin}
    input: checked
    on_success: out
    on_error: discard
    options:
      {options or "{}" if not wanted else options}
      {f"schema: {wanted}  #!" if wanted else ""}
sinks:
  out: {{plugin: csv, options: {{path: out.csv}}}}
"""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (FIXED % "'a: int'", FIXED % "'a: int'"),
        (FIXED % "'a: int'", FIXED % "'a: float'"),
        (FIXED % "'a: int'", FIXED % "'a: any'"),
        (FIXED % "'a: int'", FIXED % "'a: int?'"),
        (FIXED % "'a: int?'", FIXED % "'a: int?'"),
        (FIXED % "'a: int', 'b: str'", FLEXIBLE % "'a: int'"),
        (FIXED % "'a: int'", FLEXIBLE % "'a: int', 'b: str?'"),
        (FLEXIBLE % "'a: int'", FIXED % "'a: int'"),
        (OBSERVED, FIXED % "'a: int'"),
        (FIXED % "'a: int'", OBSERVED),
        ("{mode: fixed, fields: ['a: int?'], guaranteed_fields: [a]}", FIXED % "'a: int'"),
    ],
)
def test_fits(compiled, given, wanted):
    compiled(pipeline(given, wanted).replace("  #!", ""))


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        (
            FIXED % "'a: int'",
            FIXED % "'a: int', 'b: str'",
            "it needs the field 'b', which is not declared there",
        ),
        (FIXED % "'amount: int'", FLEXIBLE % "'amuont: int'", "did you mean 'amount'?"),
        (FIXED % "'a: float'", FIXED % "'a: int'", "field 'a' is float there and int here"),
        (FIXED % "'a: any'", FIXED % "'a: int'", "field 'a' is any there and int here"),
        (FIXED % "'a: str'", FIXED % "'a: int?'", "field 'a' is str there and int here"),
        (FIXED % "'a: int?'", FIXED % "'a: int'", "field 'a' is optional there and required here"),
        (FIXED % "'a: int', 'b: str'", FIXED % "'a: int'", "its fixed schema has no field 'b'"),
        (FLEXIBLE % "'a: int', 'b: str'", FIXED % "'a: int'", "its fixed schema has no field 'b'"),
    ],
)
def test_does_not_fit(problems, given, wanted, message):
    (problem,) = problems(pipeline(given, wanted))
    assert message in problem.message
    assert "'t' takes rows of 'source'" in problem.message
    assert problem.key_path == "transforms[0].options.schema"


def test_required_input_fields_against_an_observed_producer(problems):
    (problem,) = problems(pipeline(OBSERVED, "", "required_input_fields: [amount]  #!"))
    assert (
        "requires the field 'amount', which 'source' does not guarantee (guaranteed: none" in problem.message
    )
    assert problem.key_path == "transforms[0].options.required_input_fields"


def test_required_fields_of_an_observed_schema(problems):
    (problem,) = problems(
        pipeline(FIXED % "'a: int', 'b: int?'", "{mode: observed, required_fields: [a, b]}")
    )
    assert "requires the field 'b'" in problem.message


def test_required_input_fields_replace_required_fields(compiled):
    options = "required_input_fields: [a]"
    compiled(
        pipeline(FIXED % "'a: int'", "{mode: observed, required_fields: [b]}", options).replace("#!", "")
    )


def test_guaranteed_fields_are_enough(compiled):
    given = "{mode: observed, guaranteed_fields: [a]}"
    compiled(pipeline(given, "{mode: observed, required_fields: [a]}").replace("#!", ""))


def test_divert_edges_may_carry_anything(compiled):
    compiled(
        pipeline(FIXED % "'a: int'", "").replace(
            "on_validation_failure: discard", "on_validation_failure: bad"
        )
        + "  bad: {plugin: csv, options: {path: b.csv, schema: {mode: fixed, fields: ['z: str']}}}\n"
    )


def mapped(mapper: str, out: str) -> str:
    return f"""
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: discard
    schema: {{mode: fixed, fields: ['a: int', 'b: int']}}
transforms:
  - name: m
    plugin: field_mapper
    input: rows
    on_success: out
    on_error: discard
    options: {{schema: {{mode: flexible, fields: ['a: int', 'b: int']}}, {mapper}}}
sinks:
  out:
    plugin: csv
    options:
      path: out.csv
      schema: {{mode: observed, required_fields: {out}}}  #!
"""


@pytest.mark.parametrize(
    ("mapper", "guaranteed"),
    [
        ("mapping: {a: x}", "[x, b]"),
        ("mapping: {a: b, b: a}", "[a, b]"),
        ("mapping: {n.k: x}, strict: true", "[a, b, x]"),
        ("mapping: {b: y}, select_only: true", "[y]"),
    ],
)
def test_field_mapper_guarantees(compiled, mapper, guaranteed):
    compiled(mapped(mapper, guaranteed).replace("#!", ""))


@pytest.mark.parametrize(
    ("mapper", "missing"),
    [
        ("mapping: {a: x}", "[a]"),
        ("mapping: {n.k: x}", "[x]"),
        ("mapping: {b: y}, select_only: true", "[a]"),
    ],
)
def test_field_mapper_does_not_guarantee(problems, mapper, missing):
    (problem,) = problems(mapped(mapper, missing))
    assert "which 'm' does not guarantee" in problem.message


def test_types_are_not_checked_behind_a_node_with_fields_of_its_own(compiled):
    compiled(
        mapped("mapping: {a: x}", "[x]").replace(
            "{mode: observed, required_fields: [x]}  #!", "{mode: fixed, fields: ['x: str', 'zz: int']}"
        )
    )

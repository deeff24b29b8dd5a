"""Fields that are read and that no row can have are warned of, with the line; others are not."""

import pytest

FIXED = """
    source:
      plugin: csv
      on_success: read
      options:
        path: in.csv
        on_validation_failure: discard
        schema: {mode: fixed, fields: ["parcel_no: str", "weight_kg: float?", "details: any"]}
    """
SINKS = """
    sinks:
      out: {plugin: csv, options: {path: out.csv}}
    """


def gate(condition):
    return f"""
    gates:
      - {{name: size, input: read, condition: "{condition}", routes: {{"true": out, "false": out}}}}
    """


def transform(plugin, options):
    return f"""
    transforms:
      - {{name: change, plugin: {plugin}, input: read, on_success: out, on_error: discard,
         options: {options}}}
    """


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (gate("row['weight'] > 5"), "gates[0].condition: it reads 'weight', and no row that comes here has"),
        (gate("row.get('wait_kg') is None"), "did you mean 'weight_kg'?"),
        (
            transform("keyword_filter", "{fields: [parcel_no, contents], blocked_patterns: [x]}"),
            "transforms[0].options.fields: it reads 'contents'",
        ),
        (transform("truncate", "{fields: {name: 3}}"), "transforms[0].options.fields: it reads 'name'"),
        (transform("field_mapper", "{mapping: {wait: kg}}"), "options.mapping: it reads 'wait'"),
        (transform("json_explode", "{array_field: parts}"), "options.array_field: it reads 'parts'"),
    ],
)
def test_a_field_that_no_row_can_have_is_warned_of(compiled, node, told):
    (warning,) = compiled(FIXED + node + SINKS).settings.warnings
    assert told in warning
    assert "(fields: details, parcel_no, weight_kg)" in warning
    assert "pipeline.yaml:" in warning


@pytest.mark.parametrize(
    "node",
    [
        gate("row['weight_kg'] > 5 and row['Parcel No'] != ''"),
        transform("keyword_filter", "{fields: all, blocked_patterns: [x]}"),
        transform("truncate", "{fields: {Parcel no.: 3}}"),
        transform("field_mapper", "{mapping: {details.height: height, weight_kg: kg}}"),
    ],
)
def test_fields_that_rows_can_have_are_not(compiled, node):
    assert compiled(FIXED + node + SINKS).settings.warnings == ()


def test_the_name_of_a_column_before_it_was_renamed_still_counts(compiled):
    renamed = FIXED.replace("path: in.csv", "path: in.csv\n        field_mapping: {gewicht: weight_kg}")
    assert compiled(renamed + gate("row['Gewicht'] > 5") + SINKS).settings.warnings == ()
    assert compiled(renamed + gate("row['gewicht'] > 5") + SINKS).settings.warnings == ()


def test_what_comes_behind_a_node_that_makes_other_fields_is_not_known(compiled):
    mapper = """
    transforms:
      - {name: change, plugin: field_mapper, input: read, on_success: read_on, on_error: discard,
         options: {mapping: {weight_kg: kg}}}
    """
    behind = gate("row['anything'] > 5").replace("input: read", "input: read_on")
    assert compiled(FIXED + mapper + behind + SINKS).settings.warnings == ()
    cut = mapper.replace("field_mapper", "truncate").replace(
        "mapping: {weight_kg: kg}", "fields: {parcel_no: 3}"
    )
    (warning,) = compiled(FIXED + cut + behind + SINKS).settings.warnings
    assert "it reads 'anything'" in warning


@pytest.mark.parametrize("mode", ["observed", "flexible"])
def test_rows_that_may_have_other_fields_are_not_judged(compiled, mode):
    fields = "" if mode == "observed" else ', fields: ["parcel_no: str"]'
    text = FIXED.replace(FIXED[FIXED.index("{mode") : FIXED.index("}")], "{mode: " + mode + fields)
    assert compiled(text + gate("row['anything'] > 5") + SINKS).settings.warnings == ()

"""What is wrong with options, told at its place."""

from pathlib import Path

import pytest

from elspeth_dagster.plugins.compile import compile_pipeline
from elspeth_dagster.settings.errors import SettingsError

SETTINGS = """\
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: discard
transforms:
  - name: one
    plugin: truncate
    input: rows
    on_success: out
    on_error: discard
    options:
      fields:
        name: 10
      {option}
sinks:
  out:
    plugin: csv
    options:
      path: out.csv
      {sink_option}
"""


def problem(
    tmp_path: Path, option: str = "strict: true", sink_option: str = "mode: write"
) -> tuple[int, str, str]:
    path = tmp_path / "demo.yaml"
    path.write_text(SETTINGS.replace("{option}", option).replace("{sink_option}", sink_option))
    with pytest.raises(SettingsError) as caught:
        compile_pipeline(path, {})
    (found,) = caught.value.problems
    return found.line, found.key_path, found.message


@pytest.mark.parametrize(
    ("option", "key", "message"),
    [
        (
            "strikt: true",
            "strikt",
            "unknown option; accepted: schema, required_input_fields, fields, suffix, strict",
        ),
        ("strikt: true", "strikt", "did you mean 'strict'?"),
        ("strict: sometimes", "strict", "valid boolean"),
        ("suffix: [1]", "suffix", "valid string, found [1]"),
        ("suffix: a very long suffix", "", "the suffix has 18 characters"),
        ("required_input_fields: [a b]", "required_input_fields", "'a b' is not a field name"),
        ("required_input_fields: a", "required_input_fields", "found 'a'"),
        ("schema: {mode: strict}", "schema.mode", "'strict' is called 'fixed'"),
        ("schema: {mode: fixed, fields: ['a: integer']}", "schema.fields[0]", "unknown type 'integer'"),
        ("schema: {mode: fixed, fields: ['a: integer']}", "schema.fields[0]", "did you mean 'int'?"),
        ("schema: {mode: fixed, fields: ['a: VARCHAR(20)?']}", "schema.fields[0]", "did you mean 'str'?"),
        ("schema: {mode: fixed, fields: ['a: Float']}", "schema.fields[0]", "did you mean 'float'?"),
        ("schema: {mode: fixed, fields: ['a: date']}", "schema.fields[0]", "there is none for a date: a str"),
        ("schema: {mode: fixed, fields: ['a: decimal(9,2)']}", "schema.fields[0]", "none for a decimal:"),
        ("schema: {mode: observed, feilds: []}", "schema.feilds", "unknown key"),
    ],
)
def test_transform_options(tmp_path, option, key, message):
    line, path, found = problem(tmp_path, option)
    assert path == "transforms[0].options" + (f".{key}" if key else "")
    assert line == (16 if key else 13)
    assert message in found


@pytest.mark.parametrize(
    ("option", "key", "message"),
    [
        ("headers: upper", "headers", "'normalized' or 'original'"),
        ("headers: {a: x, b: x}", "headers", "several fields are given the header 'x'"),
        ("headers: {a: 5}", "headers.a", "valid string, found 5"),
        ("delimiter: ';;'", "delimiter", "must be one character"),
    ],
)
def test_sink_options(tmp_path, option, key, message):
    line, path, found = problem(tmp_path, sink_option=option)
    assert path == f"sinks.out.options.{key}"
    assert line == 22
    assert message in found


def test_declared_fields_with_one_header(tmp_path):
    option = "headers: {a: b}\n      schema: {mode: fixed, fields: ['a: int', 'b: int']}"
    line, path, found = problem(tmp_path, sink_option=option)
    assert (line, path) == (22, "sinks.out.options.headers")
    assert "the fields ['a', 'b'] all have the header 'b'" in found


def test_a_missing_option_is_told_at_the_options(tmp_path):
    path = tmp_path / "demo.yaml"
    text = (
        SETTINGS.replace("{option}", "")
        .replace("{sink_option}", "")
        .replace("      path: out.csv", "      mode: write")
    )
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        compile_pipeline(path, {})
    (found,) = caught.value.problems
    assert (found.line, found.key_path) == (20, "sinks.out.options")
    assert found.message == "the option 'path' is required"


def test_secrets_are_not_shown(tmp_path):
    line, _, message = problem(tmp_path, "api_key: 5e0c3f8e-1111")
    assert line == 16
    assert "5e0c3f8e" not in message


def test_all_options_of_all_nodes_at_once(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(SETTINGS.replace("{option}", "strikt: 1").replace("{sink_option}", "delimeter: ;"))
    with pytest.raises(SettingsError) as caught:
        compile_pipeline(path, {})
    assert [found.line for found in caught.value.problems] == [16, 22]


def told(path: Path, text: str) -> list[tuple[int, str]]:
    path.write_text(text.replace("{option}", "strict: true").replace("{sink_option}", "mode: write"))
    with pytest.raises(SettingsError) as caught:
        compile_pipeline(path, {})
    return [(found.line, found.key_path) for found in caught.value.problems]


def test_a_bad_name_does_not_hide_a_bad_option_of_another_node(tmp_path):
    wrong = SETTINGS.replace("name: one", "name: ö").replace("path: in.csv", "path: in.csv\n    delimeter: ;")
    assert told(tmp_path / "demo.yaml", wrong) == [
        (6, "source.options.delimeter"),
        (9, "transforms[0].name"),
    ]


def test_a_node_whose_options_could_not_be_read_is_not_told_what_else_it_lacks(tmp_path):
    wrong = SETTINGS.replace("strict: true", "").replace("path: in.csv", "pfad: ${FILE}")
    assert told(tmp_path / "demo.yaml", wrong) == [(5, "source.options.pfad")]


@pytest.mark.parametrize(
    ("plugin", "path", "warned"),
    [
        ("json", "out.csv", "a file called .csv is taken for csv, and 'json' writes it"),
        ("csv", "out.PARQUET", "a file called .PARQUET is taken for parquet, and 'csv' writes it"),
        ("json", "out.jsonl", None),
        ("csv", "out.txt", None),
        ("csv", "out", None),
    ],
)
def test_a_suffix_that_promises_another_format_is_warned_of(tmp_path, plugin, path, warned):
    file = tmp_path / "demo.yaml"
    text = SETTINGS.replace(
        "csv\n    options:\n      path: out.csv", f"{plugin}\n    options:\n      path: {path}"
    )
    file.write_text(text.replace("{option}", "strict: true").replace("{sink_option}", "mode: write"))
    warnings = compile_pipeline(file, {}).settings.warnings
    assert warnings == ((f"{file}:21: sinks.out.options.path: {warned}",) if warned else ())

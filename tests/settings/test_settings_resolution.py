"""Where values come from: keys in any case, environment variables, `*_file` options; and where they stand."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from elspeth_dagster.settings import SettingsError, key_path_text, load_settings, pipeline_name

BASE = """\
source:
  plugin: csv
  on_success: out
  options:
    path: a.csv
    on_validation_failure: discard
sinks:
  out:
    plugin: csv
"""
TRANSFORMS = """\
transforms:
  - name: t
    plugin: p
    input: a
    on_success: out
    on_error: discard
    options:
"""


def test_keys_are_lowered_except_below_options_routes_and_branches(load: Any) -> None:
    settings = load(
        "SOURCE:\n  Plugin: csv\n  On_Success: Rows\n"
        "  OPTIONS: {Path: x, ON: {Deep: 1}, on_validation_failure: OUT}\n"
        "Sinks:\n  OUT: {PLUGIN: csv}\n"
        "gates: [{Name: g, input: Rows, condition: row['x'] , Routes: {Big: out}}]\n".replace(
            "row['x'] ", "\"row['x']\""
        )
        + "coalesce: [{name: c, BRANCHES: {A: B, b: b}}]\n"
        "Dagster: {Tags: {Tier: gold}}\n"
    )
    assert settings.source.on_success == "Rows"
    assert settings.source.options == {"Path": "x", "ON": {"Deep": 1}}
    assert list(settings.sinks) == ["out"]
    assert settings.gates[0].routes == {"Big": "out"}
    assert settings.coalesces[0].branches == {"A": "B", "b": "b"}
    assert settings.dagster.tags == {"Tier": "gold"}
    assert settings.problem(("source", "on_success"), "x").line == 3


def test_keys_that_differ_by_case_alone_are_one_key(problems: Any) -> None:
    assert "10: Source: the key is given twice: 'source' in another case is the same key" in problems(
        BASE + "Source: {}\n"
    )


def test_unknown_root_keys(problems: Any) -> None:
    found = problems(BASE + "sinkz: 1\nquite_else: 2\n")
    assert found[0].startswith("10: sinkz: unknown key 'sinkz'; accepted: source, sinks, transforms,")
    assert found[0].endswith("did you mean 'sinks'?")
    assert found[1].startswith("11: quite_else: unknown key")
    assert not found[1].endswith("?")


@pytest.mark.parametrize(
    "word", ["env", "includes", "validators", "encoding", "preload", "loaders", "root_path"]
)
def test_words_of_the_original_loader_are_dropped_with_a_warning(load: Any, word: str) -> None:
    settings = load(f"{BASE}{word}: 5\n")
    assert [warning.split(": ", 1)[1] for warning in settings.warnings] == [
        f"{word}: has no effect here: a word of another program's loader"
    ]
    assert word not in settings.document


def test_variables_are_replaced_inside_every_text(load: Any) -> None:
    settings = load(
        BASE.replace("a.csv", "${DIR}/${FILE:-b}.csv").replace("on_success: out", "on_success: ${S:-out}")
        + "checkpoint: {frequency: every_n, checkpoint_interval: '${ROWS:-7}'}\n"
        + TRANSFORMS
        + "      a: [{b: 'x${EMPTY:-}y'}, '$DIR', '${1}', '${A-b}', '${NEST}']\n",
        {"DIR": "data", "NEST": "${DIR}"},
    )
    assert settings.source.options["path"] == "data/b.csv"
    assert settings.source.on_success == "out"
    assert settings.chunk_rows == 7
    assert settings.transforms[0].options["a"] == [{"b": "xy"}, "$DIR", "${1}", "${A-b}", "${DIR}"]


def test_a_variable_that_is_empty_is_set(load: Any) -> None:
    assert load(BASE.replace("a.csv", "x${V:-d}"), {"V": ""}).source.options["path"] == "x"


def test_variables_that_are_not_set_are_all_named(problems: Any) -> None:
    found = problems(
        BASE.replace("a.csv", "${DATA_DIRR}/${OTHER_THING}").replace(
            "plugin: csv\n  on", "plugin: ${P}\n  on"
        ),
        {"DATA_DIR": "x"},
    )
    unset = "is not set, and has no default"
    place = "5: source.options.path: the environment variable"
    assert found == [
        f"2: source.plugin: the environment variable P {unset} (${{P:-default}})",
        f"{place} DATA_DIRR {unset} (${{DATA_DIRR:-default}}); did you mean 'DATA_DIR'?",
        f"{place} OTHER_THING {unset} (${{OTHER_THING:-default}})",
    ]


def test_a_variable_with_bytes_that_are_no_text(problems: Any) -> None:
    found = problems(BASE.replace("a.csv", "${V}"), {"V": "a\udcff"})
    assert found == ["5: source.options.path: the value holds bytes that are not UTF-8 text"]


def test_overrides_are_merged_deeply_and_typed(load: Any) -> None:
    settings = load(
        BASE + TRANSFORMS + "      Limit: 5\n",
        {
            "ELSPETH_SOURCE__OPTIONS__PATH": "other.csv",
            "ELSPETH_SOURCE__OPTIONS__SKIP_ROWS": "3",
            "ELSPETH_SINKS__OUT__PLUGIN": "json",
            "ELSPETH_TRANSFORMS__0__OPTIONS__LIMIT": "0.5",
            "ELSPETH_CHECKPOINT": "ignored, since it has no key",
            "ELSPETH_CHECKPOINT__FREQUENCY": "every_n",
            "ELSPETH_CHECKPOINT__CHECKPOINT_INTERVAL": "50",
            "ELSPETH_RETRY": "ignored",
            "ELSPETH_DAGSTER__TAGS": '{"tier": "gold"}',
            "ELSPETH_DAGSTER__OWNERS": '["team:risk"]',
            "ELSPETH_LANDSCAPE": "elsewhere",
            "ELSPETH_ROOT": "elsewhere",
            "ELSPETH_NOTHING__OF_OURS": "x",
            "ELSPETH_SOURCE__": "x",
            "ELSPETH___X": "x",
            "elspeth_source__plugin": "x",
            "SOURCE__PLUGIN": "x",
        },
    )
    assert settings.source.options == {"path": "other.csv", "skip_rows": 3}
    assert settings.source.plugin == "csv"
    assert settings.sinks["out"].plugin == "json"
    assert settings.transforms[0].options == {"Limit": 0.5}
    assert settings.chunk_rows == 50
    assert settings.dagster.tags == {"tier": "gold"}
    assert settings.dagster.owners == ("team:risk",)
    assert settings.path.name == "orders.yaml"


def test_an_override_can_hold_variables(load: Any) -> None:
    environ = {"ELSPETH_SOURCE__OPTIONS__PATH": "${D}/x", "D": "d"}
    assert load(BASE, environ).source.options["path"] == "d/x"


def test_problems_name_the_overriding_variable(problems: Any) -> None:
    environ = {
        "ELSPETH_RETRY__MAX_ATTEMPTS": "0",
        "ELSPETH_SOURCE__PLUGN": "x",
        "ELSPETH_TRANSFORMS__3__NAME": "x",
        "ELSPETH_TRANSFORMS__FIRST__NAME": "x",
        "ELSPETH_DAGSTER__" + "A__" * 100 + "B": "x",
    }
    found = problems(BASE + TRANSFORMS + "      a: 1\n", environ)
    assert any(
        line.startswith("1: source.plugn: unknown key 'plugn'")
        and line.endswith("(set by the environment variable ELSPETH_SOURCE__PLUGN)")
        for line in found
    )
    assert any(
        line.endswith(
            "retry.max_attempts: expected more than 0, found the number 0 (set by the environment variable "
            "ELSPETH_RETRY__MAX_ATTEMPTS)"
        )
        for line in found
    )
    picks = "10: transforms: the environment variable ELSPETH_TRANSFORMS__"
    assert f"{picks}3__NAME picks entry '3'; accepted: a number from 0 to 0" in found
    assert f"{picks}FIRST__NAME picks entry 'first'; accepted: a number from 0 to 0" in found
    assert any("goes too deep" in line for line in found)


def test_file_options_are_read_from_beside_the_settings(load: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "t.j2").write_text("Hello ${NOT_REPLACED}\n", encoding="utf-8")
    (tmp_path / "lookup.yaml").write_text("a: [1, {b: yes}]\n", encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    (tmp_path / "list.yaml").write_text("[1]", encoding="utf-8")
    options = "".join(
        f"      {key}: {path}\n"
        for key, path in {
            "template_file": "${SUB}/t.j2",
            "lookup_file": "lookup.yaml",
            "system_prompt_file": "list.yaml",
        }.items()
    )
    aggregation = (
        "aggregations: [{name: g, plugin: p, input: a, on_error: discard, trigger: {count: 1}, "
        "options: {lookup_file: ./sub/../empty.yaml}}]\n"
    )
    settings = load(BASE + TRANSFORMS + options + aggregation, {"SUB": "sub"})
    assert settings.transforms[0].options == {
        "template": "Hello ${NOT_REPLACED}\n",
        "template_source": "sub/t.j2",
        "lookup": {"a": [1, {"b": "yes"}]},
        "lookup_source": "lookup.yaml",
        "system_prompt": "[1]",
        "system_prompt_source": "list.yaml",
    }
    assert settings.aggregations[0].options == {"lookup": {}, "lookup_source": "./sub/../empty.yaml"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("template_file: no.txt", "17: transforms[0].options.template_file: 'no.txt': no such file"),
        ("template_file: ../outside.txt", "'../outside.txt' lies outside the settings file's folder"),
        ("template_file: /etc/hostname", "'/etc/hostname' lies outside the settings file's folder"),
        ("template_file: link.txt", "'link.txt' lies outside the settings file's folder"),
        ("template_file: .", "'.': expected a file, found a folder"),
        ("template_file: 5", "expected the path of a file, relative to the settings file"),
        ("template_file: ''", "expected the path of a file"),
        ('template_file: "a\\0b"', "cannot be read"),
        (
            "template_file: bad.yaml\n      template: x",
            "'template_file' and 'template' are both given; only one",
        ),
        ("lookup_file: bad.yaml", "not valid YAML"),
        ("lookup_file: twice.yaml", "a: the key is given twice; first in line 1"),
        ("lookup_file: bytes.yaml", "'bytes.yaml', line 1: is not UTF-8 text"),
    ],
)
def test_file_options_that_are_refused(problems: Any, tmp_path: Path, options: str, expected: str) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    found = problems(f"{BASE}{TRANSFORMS}      {options}\n")
    assert len(found) == 1
    assert expected in found[0]


def test_file_options_are_for_transforms_and_aggregations(problems: Any) -> None:
    text = BASE.replace("path: a.csv", "lookup_file: a") + "    options: {template_file: b}\n"
    rule = "is accepted in the options of transforms and aggregations only"
    assert problems(text) == [
        f"5: source.options.lookup_file: 'lookup_file' {rule}",
        f"10: sinks.out.options.template_file: 'template_file' {rule}",
    ]


def test_the_pipelines_name(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(BASE, name="daily orders.v2.yaml").pipeline == "daily orders.v2"
    assert load(BASE, name="taxis/settings.yaml").pipeline == "taxis"
    assert load(BASE, name="taxis/settings.yml").pipeline == "taxis"
    monkeypatch.chdir(tmp_path / "taxis")
    assert load_settings(Path("settings.yaml"), environ={}).pipeline == "taxis"
    assert load_settings(Path("settings.yaml"), environ={}).path == tmp_path / "taxis" / "settings.yaml"
    assert pipeline_name(Path("/settings.yaml")) == "settings"


def test_problems_point_at_the_key_or_its_nearest_ancestor(load: Any) -> None:
    settings = load(BASE + TRANSFORMS + "      mapping: {a: b}\n      list:\n        - x\n        - {y: 1}\n")
    options = (*settings.transforms[0].path, "options")

    def place(*path: Any) -> tuple[int, int]:
        problem = settings.problem(path, "wrong")
        return problem.line, problem.column

    assert place(*options, "mapping") == (17, 7)
    assert place(*options, "mapping", "a") == (17, 17)
    assert place(*options, "MAPPING", "zz", 5) == (17, 7)
    assert place(*options, "list", 1, "y") == (20, 12)
    assert place(*options, "absent") == (16, 5)
    assert place("absent") == (1, 1)
    assert place(*settings.source.failure_path) == (6, 5)
    text = str(settings.problem((*options, "mapping", "a b"), "is wrong"))
    assert text == f"{settings.path}:17: transforms[0].options.mapping['a b']: is wrong"


def test_key_paths_as_people_read_them() -> None:
    assert key_path_text(()) == ""
    assert key_path_text(("a", 0, "b-c", "d.e", "")) == "a[0].b-c['d.e']['']"


def test_all_problems_are_found_at_once_in_the_order_of_the_file(problems: Any) -> None:
    found = problems(
        "source: {plugin: csv, on_success: 'a b', options: {}}\n"
        "sinks:\n"
        "  Out: {plugin: 5}\n"
        "transforms:\n"
        "  - {name: t, plugin: '${UNSET}', input: x, on_success: y, on_error: discard}\n"
        "gates: 5\n"
        "retry: {max_attempts: none}\n"
        "dagster: {shards: 0}\n"
        "landscape: {enabled: false}\n"
        "wrong: 1\n"
    )
    assert [line.split(":")[0] for line in found] == ["1", "3", "3", "5", "6", "7", "8", "9", "10"]


def test_an_error_survives_being_passed_between_processes(load: Any) -> None:
    with pytest.raises(SettingsError) as error:
        load("a: 1")
    copied = pickle.loads(pickle.dumps(error.value))
    assert copied.problems == error.value.problems
    assert str(copied) == str(error.value)
    assert not copied.retryable

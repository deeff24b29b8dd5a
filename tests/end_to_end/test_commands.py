"""The `elspeth` command as scripts use it: what `--json` prints, and exit codes."""

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from platforms import Platform

from elspeth_dagster.cli import show

SETTINGS = """\
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: bad
    schema:
      mode: fixed
      fields: ["id: int", "amount: float"]
transforms:
  - name: tidy
    plugin: field_mapper
    input: rows
    on_success: tidied
    on_error: bad
    options:
      mapping: {amount: total}
gates:
  - name: size
    input: tidied
    condition: "row['total'] > 10"
    routes: {"true": high, "false": low}
sinks:
  high: {plugin: csv, options: {path: output/high.csv}}
  low: {plugin: csv, options: {path: output/low.csv}}
  bad: {plugin: json, options: {path: output/bad.jsonl}}
"""
INPUT = "id,amount\n1,20\n2,5\nx,7\n3,30\n"


@pytest.fixture
def settings(platform: Platform) -> Path:
    platform.write("in.csv", INPUT)
    return platform.pipeline("totals", SETTINGS)


RUN_FIELDS = [
    "run_id", "pipeline", "status", "attempts", "rows_in", "succeeded", "failed", "quarantined", "outcomes",
    "sinks", "landscape", "seconds",
]  # fmt: skip


def test_run_prints_one_json_object_with_the_fields_that_were_promised(
    platform: Platform, settings: Path
) -> None:
    answer = platform.run(settings)

    facts = answer.json
    assert answer.code == 0
    assert answer.out.count("\n") == 1
    assert list(facts)[: len(RUN_FIELDS)] == RUN_FIELDS
    assert set(facts) - set(RUN_FIELDS) == {"started_at", "partition", "source_path", "set_aside"}
    assert (facts["partition"], facts["source_path"]) == (None, "in.csv")
    shown = {name: facts[name] for name in RUN_FIELDS[1:8]}
    assert shown == {
        "pipeline": "totals", "status": "completed", "attempts": 1, "rows_in": 4, "succeeded": 3, "failed": 0,
        "quarantined": 1,
    }  # fmt: skip
    assert facts["outcomes"] == {"routed": 3, "quarantined": 1}
    reason = {"node": "source", "reason": "validation_failed: id (expected: int)", "count": 1, "rows": [2]}
    assert facts["set_aside"] == {
        "reasons": [reason], "others": 0, "other_reasons": 0, "complete": True, "discarded": 0,
    }  # fmt: skip
    assert set(facts["sinks"]) == {"high", "low", "bad"}
    high = facts["sinks"]["high"]
    assert set(high) == {"rows", "uri", "sha256", "size_bytes"}
    assert (high["rows"], high["size_bytes"]) == (2, len(platform.read("output/high.csv")))
    assert Path(high["uri"]).read_bytes() == platform.read("output/high.csv")
    assert facts["landscape"].startswith(str(platform.path("landscape")))
    assert isinstance(facts["seconds"], float)


def test_run_for_people_says_the_same_in_words(platform: Platform, settings: Path) -> None:
    answer = platform.elspeth("run", settings)

    assert answer.code == 0
    assert "totals" in answer.out
    assert "completed" in answer.out
    assert "rows in 4 · succeeded 3 · failed 0 · quarantined 1" in answer.out
    assert str(platform.path("output/high.csv")) in answer.out


def test_run_says_how_many_rows_went_into_batches(platform: Platform) -> None:
    document = (
        SETTINGS.partition("gates:")[0]
        + """\
aggregations:
  - name: sums
    plugin: batch_stats
    input: tidied
    on_success: high
    on_error: bad
    trigger: {count: 2}
    options: {value_field: total}
sinks:
  high: {plugin: csv, options: {path: output/high.csv}}
  bad: {plugin: json, options: {path: output/bad.jsonl}}
"""
    )
    platform.write("in.csv", INPUT)

    answer = platform.elspeth("run", platform.pipeline("sums", document))

    said = "succeeded 2 · failed 0 · quarantined 1 · consumed in batches 3"
    assert f"rows in 4 · {said}\n" in answer.out
    assert "2 succeeded, 0 failed, 1 quarantined, 3 consumed in batches; in the sinks:" in answer.err
    again = platform.elspeth("resume", platform.runs()[0]["run_id"])
    assert again.out == answer.out


def test_run_says_why_rows_were_set_aside_and_how_to_see_one(platform: Platform) -> None:
    fields = ", ".join(f"'{name}: int'" for name in "abcdefg")
    document = SETTINGS.replace('"id: int", "amount: float"', fields).replace("{amount: total}", "{a: total}")
    settings = platform.pipeline(
        "spoilt", document.replace("on_validation_failure: bad", "on_validation_failure: discard")
    )
    wrong = ["1,2,3,4,5,6,\x1b[2J", *["1,2,x,4,5,6,7"] * 4]
    wrong += [",".join("x" if at == column else "1" for at in range(7)) for column in (0, 1, 3, 4, 5)]
    platform.write("in.csv", "\n".join(["a,b,c,d,e,f,g", "20,1,1,1,1,1,1", *wrong, ""]))

    answer = platform.elspeth("run", settings)
    run_id = platform.runs()[0]["run_id"]
    again = platform.elspeth("resume", run_id)

    said = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert said[
        said.index("set aside: source: validation_failed: c (expected: int): 4, rows 2, 3, 4, …") :
    ] == [
        "set aside: source: validation_failed: c (expected: int): 4, rows 2, 3, 4, …",
        "set aside: source: validation_failed: a (expected: int): 1, row 6",
        "set aside: source: validation_failed: b (expected: int): 1, row 7",
        "set aside: source: validation_failed: d (expected: int): 1, row 8",
        "set aside: source: validation_failed: e (expected: int): 1, row 9",
        "set aside: and 2 more reasons, 2",
        "discarded: 10",
        f"the story of one: elspeth explain {run_id} 2",
    ]
    assert again.out == answer.out


def test_a_run_says_how_it_ended_although_the_reasons_cannot_be_read(
    platform: Platform, settings: Path
) -> None:
    run_id = platform.completed(settings)["run_id"]
    (errors,) = platform.sql("SELECT path FROM segments WHERE table_name = 'errors'")
    platform.path(f"landscape/segments/{errors['path']}").unlink()

    answer = platform.elspeth("resume", run_id)

    assert answer.code == 0
    assert "rows in 4 · succeeded 3 · failed 0 · quarantined 1" in answer.out
    assert "set aside: unknown why: the record is damaged" in answer.out


def test_limit_and_source_path_are_chosen_at_launch(platform: Platform, settings: Path) -> None:
    platform.write("other.csv", "id,amount\n7,70\n8,80\n9,90\n")

    facts = platform.completed(settings, "--limit", "2", "--source-path", "other.csv")

    assert facts["rows_in"] == 2
    assert platform.read("output/high.csv") == b"id,total\r\n7,70.0\r\n8,80.0\r\n"


def test_runs_lists_newest_first_with_counts_times_and_errors(platform: Platform, settings: Path) -> None:
    first = platform.completed(settings)
    platform.path("in.csv").unlink()
    failed = platform.run(settings)
    assert failed.code == 1

    newest, oldest = platform.runs()

    assert oldest == {name: value for name, value in first.items() if name != "set_aside"}
    assert {name: newest[name] for name in RUN_FIELDS} == {name: failed.json[name] for name in RUN_FIELDS}
    assert newest["status"] == "failed"
    assert str(platform.path("in.csv")) in newest["error"]["message"]
    assert "error" not in oldest
    started = [datetime.fromisoformat(run["started_at"]) for run in (oldest, newest)]
    assert started[0] < started[1]
    assert all(at.utcoffset() is not None for at in started)
    table = platform.elspeth("runs").out
    assert table.index(newest["run_id"]) < table.index(oldest["run_id"])
    assert platform.elspeth("runs", "--pipeline", "nothing", "--json").json == {"runs": []}
    assert platform.elspeth("runs", "--pipeline", "nothing").out == (
        "no run of pipeline 'nothing'; there are runs of: totals\n"
    )
    assert len(platform.elspeth("runs", "--limit", "1", "--json").json["runs"]) == 1


def test_runs_says_of_which_partition_or_file_each_is(platform: Platform, settings: Path) -> None:
    daily = {"partitions": "daily", "partitions_start": "2026-01-01"}
    text = SETTINGS.replace("in.csv", '"in/{partition}.csv"')
    document = yaml.safe_load(re.sub("output/(.*?)}", r'"output/{partition}/\1"}', text))
    by_day = platform.pipeline("by_day", document | {"dagster": daily})
    platform.write("other.csv", INPUT)
    for day in ("2026-01-02", "2026-01-03"):
        platform.write(f"in/{day}.csv", INPUT)
    found = [
        platform.completed(settings, "--source-path", "other.csv"),
        *(platform.completed(by_day, "--partition", day) for day in ("2026-01-02", "2026-01-03")),
    ]

    listed = [(run["partition"], run["source_path"]) for run in platform.runs()]
    of_day = platform.elspeth("runs", "--partition", "2026-01-02", "--json").json["runs"]
    table = platform.elspeth("runs").out
    newest, oldest = (table.splitlines()[line].split() for line in (1, 3))

    assert listed == [
        ("2026-01-03", "in/2026-01-03.csv"), ("2026-01-02", "in/2026-01-02.csv"), (None, "other.csv")
    ]  # fmt: skip
    assert [run["run_id"] for run in of_day] == [found[1]["run_id"]]
    assert (newest[0], "2026-01-03" in newest) == (found[2]["run_id"], True)
    assert (oldest[0], len(oldest)) == (found[0]["run_id"], len(newest) - 1)
    assert "partition" not in platform.elspeth("runs", "--pipeline", "totals").out
    words = ("--partition", "2026-01-04", "--pipeline", "by_day")
    assert platform.elspeth("runs", *words).out == (
        "no run of pipeline 'by_day', partition '2026-01-04'; there are runs of: by_day, totals\n"
    )


def test_runs_shows_the_first_line_of_an_error_and_where_the_rest_is(platform: Platform) -> None:
    settings = platform.pipeline("totals", SETTINGS + "dagster: {checks: {min_rows: 5}}\n")
    platform.write("in.csv", INPUT)
    assert platform.run(settings).code == 1

    title, run, rest = platform.elspeth("runs").out.splitlines()

    assert "is held back by its checks, and nothing was published:" in run
    assert rest == "the whole text of an error: elspeth runs --json"
    assert "--accept-checks" in platform.runs()[0]["error"]["message"]
    assert title.split()[-1] == "error"


def test_of_many_pipelines_some_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    show.no_run_of([f"p{number:02}" for number in range(11)], pipeline="p", partition=None)
    listed = ", ".join(f"p{number:02}" for number in range(10))
    assert capsys.readouterr().out == f"no run of pipeline 'p'; there are runs of: {listed}, …\n"


def test_sql_shows_each_of_several_columns_of_one_name(platform: Platform, settings: Path) -> None:
    platform.completed(settings)
    query = "SELECT 'first' AS n, 'second' AS n"

    shown = platform.elspeth("sql", query)
    as_json = platform.elspeth("sql", query, "--json")

    assert shown.out.split() == ["n", "n", "first", "second"]
    assert as_json.code == 2
    assert "several columns are named 'n'" in as_json.err


@pytest.mark.parametrize("hashes", [1, 4])
def test_sql_folds_long_values_but_neither_ids_nor_hashes(
    platform: Platform, settings: Path, hashes: int
) -> None:
    run_id = platform.completed(settings)["run_id"]
    alike = ", ".join(f"sha256 AS h{number}" for number in range(hashes))
    query = f"SELECT run_id, facts, facts AS again, {alike}, sink AS last FROM artifacts WHERE sink = 'high'"

    shown = platform.elspeth("sql", query).out
    (facts,) = platform.sql("SELECT sha256, facts FROM artifacts WHERE sink = 'high'")

    first = shown.splitlines()[1]
    assert first.startswith(run_id)
    assert first.split().count(facts["sha256"]) == hashes
    assert first.rstrip().endswith(" high")
    letters = "".join(shown.split())
    assert all(letters.count(character) >= 2 * facts["facts"].count(character) for character in '{}"[]')
    assert len(shown.splitlines()) > 2


@pytest.mark.parametrize(
    ("query", "quoted"),
    [
        ("SELECT to FROM states", '"to"'),
        ("SELECT node FROM states WHERE to = 'high'", '"to"'),
        ("SELECT c:order FROM records", '"c:order"'),
        ("SELECT order FROM states", None),
    ],
)
def test_sql_says_what_to_quote(platform: Platform, settings: Path, query: str, quoted: str | None) -> None:
    platform.completed(settings, "--limit", "1")
    answer = platform.elspeth("sql", query)
    assert answer.code == 1
    assert answer.err.rstrip().endswith(f"quote it: {quoted}") == (quoted is not None)
    assert ("quote it" in answer.err) == (quoted is not None)


def test_nothing_in_an_answer_steers_the_terminal(platform: Platform, settings: Path) -> None:
    platform.completed(settings)
    shown = platform.elspeth("sql", "SELECT chr(27) || ']0;gone' || chr(7) AS title")
    assert "\\x1b]0;gone\\x07" in shown.out
    assert "\x1b" not in shown.out


def test_sql_answers_from_the_record(platform: Platform, settings: Path) -> None:
    run_id = platform.completed(settings)["run_id"]

    answer = platform.elspeth(
        "sql", "SELECT outcome, sink, count(*) AS n FROM outcomes GROUP BY ALL ORDER BY ALL", "--json"
    )

    assert answer.code == 0
    assert answer.json == {
        "columns": ["outcome", "sink", "n"],
        "rows": [
            {"outcome": "quarantined", "sink": "bad", "n": 1},
            {"outcome": "routed", "sink": "high", "n": 2},
            {"outcome": "routed", "sink": "low", "n": 1},
        ],
    }
    why = platform.sql('SELECT node, label, "to", reads FROM states WHERE "row" = 1 ORDER BY node')
    assert {"node": "size", "label": "false", "to": "low", "reads": '{"total":5}'} in why
    assert platform.sql("SELECT run_id FROM runs") == [{"run_id": run_id}]


def test_sql_can_be_shown_one_run_alone(platform: Platform, settings: Path) -> None:
    first, second = (platform.completed(settings, "--limit", limit)["run_id"] for limit in ("1", "2"))
    query = "SELECT run_id, count(*) AS n FROM records GROUP BY ALL"

    named = {
        said: platform.elspeth("sql", query, "--json", "--run", said) for said in (first, "totals", "nosuch")
    }

    assert named[first].json["rows"] == [{"run_id": first, "n": 1}]
    assert named["totals"].json["rows"] == [{"run_id": second, "n": 2}]
    assert named["nosuch"].code == 1
    assert "no run 'nosuch'" in named["nosuch"].err
    assert len(platform.sql(query)) == 2


def test_a_run_is_named_by_the_beginning_of_its_id(platform: Platform, settings: Path) -> None:
    run_id = platform.completed(settings)["run_id"]
    start = run_id[:-3]

    assert platform.resume(start).json["run_id"] == run_id
    assert platform.elspeth("abandon", start, "--json").json["run_id"] == run_id
    assert platform.elspeth("purge", start).code == 0
    assert platform.elspeth("explain", start, "0", "--json").json["run_id"] == run_id
    assert platform.elspeth("explain", "totals", "0", "--json").json["run_id"] == run_id
    for command in ("resume", "abandon", "purge"):
        refused = platform.elspeth(command, "totals", "--json")
        assert refused.code == 1
        assert refused.json["error"]["type"] == "PipelineNamedError"


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE runs",
        "DELETE FROM runs",
        "UPDATE runs SET status = 'failed'",
        "INSERT INTO runs SELECT * FROM runs",
        "CREATE TABLE x AS SELECT 1",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT * FROM read_csv('in.csv')",
        "SELECT * FROM 'in.csv'",
        "SELECT * FROM read_text('in.csv')",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "EXPORT DATABASE 'x'",
        "SELEC 1",
        "SELECT nothing FROM runs",
        "",
    ],
)
def test_sql_refuses_whatever_is_no_single_select_over_the_record(
    platform: Platform, settings: Path, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.completed(settings, "--limit", "1")
    before = sorted(platform.root.rglob("*"))

    answer = platform.elspeth("sql", query, "--json")

    assert answer.code == 1
    assert set(answer.json) == {"error"}
    assert answer.err.strip()
    assert "Traceback" not in answer.err
    assert sorted(platform.root.rglob("*")) == before
    assert len(platform.runs()) == 1


@pytest.mark.parametrize("command", [("runs",), ("sql", "SELECT 1"), ("resume", "x")])
def test_commands_without_a_landscape_say_so_and_make_none(
    platform: Platform, command: tuple[str, ...]
) -> None:
    answer = platform.elspeth(*command, "--json")

    assert answer.code == 1
    assert "landscape" in answer.err
    assert not platform.path("landscape").exists()


def test_validate_draws_the_graph_without_a_trace(platform: Platform, settings: Path) -> None:
    drawn = platform.elspeth("validate", settings)
    mermaid = platform.elspeth("validate", settings, "--mermaid")
    facts = platform.elspeth("validate", settings, "--json")

    assert (drawn.code, mermaid.code, facts.code) == (0, 0, 0)
    assert all(
        name in drawn.out
        for name in ("source", "tidy", "size", "high", "low", "bad", "on_validation_failure")
    )
    assert mermaid.out.startswith(("flowchart", "graph"))
    assert facts.json["ok"] is True
    assert facts.json["pipeline"] == "totals"
    assert facts.json["graph"].strip() == drawn.out.strip()
    assert not platform.path("landscape").exists()
    assert not platform.path("output").exists()


def test_validate_lists_every_problem_with_its_line(platform: Platform) -> None:
    wrong = SETTINGS.replace("field_mapper", "field_maper").replace("input: tidied", "input: tidy_rows")
    path = platform.pipeline("totals", wrong.replace("mode: fixed", "mode: strict"))

    answer = platform.elspeth("validate", path, "--json")

    assert answer.code == 2
    lines = wrong.splitlines()
    for needle in ("field_maper", "tidy_rows"):
        number = next(n for n, line in enumerate(lines, 1) if needle in line)
        assert f"totals.yaml:{number}: " in answer.err
    assert "field_mapper" in answer.err
    assert "tidied" in answer.err
    assert "strict" in answer.err
    assert answer.json["error"]["type"] == "SettingsError"


def test_plugins_lists_built_in_ones_and_those_beside_the_settings(
    platform: Platform, settings: Path
) -> None:
    platform.plugin("shout", '''
        from typing import Any

        from pydantic import Field

        from elspeth_dagster.plugins import Options, RowTransform


        class ShoutOptions(Options):
            field: str = Field(description="What to shout.")
            times: int = 1


        class Shout(RowTransform):
            """Writes a field in capitals."""

            Options = ShoutOptions

            def process(self, row: dict[str, Any]) -> dict[str, Any]:
                return row | {self.options.field: str(row[self.options.field]).upper()}
        ''')  # fmt: skip

    answer = platform.elspeth("plugins", settings, "--json")

    assert answer.code == 0
    listed = {(plugin["kind"], plugin["name"]): plugin for plugin in answer.json["plugins"]}
    built_in = {
        "source": ("csv", "json", "null"),
        "transform": ("passthrough", "field_mapper", "truncate", "keyword_filter"),
        "sink": ("csv", "json", "parquet"),
    }
    assert {(kind, name) for kind, names in built_in.items() for name in names} <= set(listed)
    shout = listed["transform", "shout"]
    assert shout["summary"] == "Writes a field in capitals."
    options = {option["name"]: option for option in shout["options"]}
    assert options["field"]["required"] is True
    assert options["field"]["description"] == "What to shout."
    assert (options["times"]["required"], options["times"]["default"]) == (False, 1)
    words = platform.elspeth("plugins", settings)
    assert words.code == 0
    assert "shout" in words.out
    assert platform.elspeth("plugins").code == 0
    listed = [line.strip() for line in words.out.splitlines()]
    assert "suffix: text, default ''  Ends every text that was cut; counts as part of it." in listed
    assert "columns: list of text, default null  Field names of a file without header." in listed
    assert "compute_mean: true or false, default true  Whether the mean is given." in listed
    assert (
        "schema: mapping, default {mode: observed}  Declared fields, and how strictly they are meant."
        in listed
    )
    assert "aggregation batch_stats  Gives" in words.out


def test_plugins_says_what_is_broken_and_refuses_settings_that_are_not_there(
    platform: Platform, settings: Path
) -> None:
    platform.plugin("syn", "x = 1\ndef process(row)\n")

    shown = platform.elspeth("plugins", settings)
    missing = platform.elspeth("plugins", settings.with_name("total.yaml"), "--json")
    settings.write_text("source: [")

    assert shown.code == 0
    assert "\nbroken plugin syn (plugins/syn.py): line 2: expected ':'\n" in shown.out
    assert missing.code == 2
    assert "total.yaml: no such file; did you mean 'totals.yaml'?" in missing.err
    assert platform.elspeth("plugins", settings).code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("run", "--nonsense"),
        ("nonsense",),
        ("runs", "--limit", "0"),
        ("run", "x.yaml", "--limit", "-1"),
    ],
)
def test_wrong_usage_exits_with_two(platform: Platform, command: tuple[str, ...]) -> None:
    assert platform.elspeth(*command).code == 2


def test_the_landscape_can_be_named(platform: Platform, settings: Path) -> None:
    elsewhere = platform.path("else where")

    facts = platform.completed(settings, "--landscape", elsewhere)

    assert facts["landscape"].startswith(str(elsewhere))
    listed = platform.elspeth("runs", "--landscape", elsewhere, "--json")
    assert [run["run_id"] for run in listed.json["runs"]] == [facts["run_id"]]
    assert not platform.path("landscape").exists()
    url = f"sqlite:///{elsewhere}/catalogue.db"
    assert platform.elspeth("runs", "--landscape", url, "--json").json == listed.json


@pytest.mark.parametrize(
    "command", [("run", "pipelines/totals.yaml"), ("runs",), ("sql", "SELECT 1"), ("resume", "x"), ("purge",)]
)
def test_a_file_that_is_named_for_a_landscape_is_refused(
    platform: Platform, settings: Path, command: tuple[str, ...]
) -> None:
    platform.write("landscape/catalogue.db", "")
    answer = platform.elspeth(*command, "--landscape", "landscape/catalogue.db")
    assert answer.code == 2
    assert (
        f"a landscape is a folder, and this is a file; did you mean {platform.root}/landscape?" in answer.err
    )
    assert platform.read("landscape/catalogue.db") == b""


def test_where_no_landscape_can_be_made_there_is_no_run_to_resume(platform: Platform, settings: Path) -> None:
    platform.write("full", "")
    answer = platform.run(settings, "--landscape", "full/landscape")
    assert answer.code == 1
    assert "Nothing was begun" in answer.err
    assert "resume" not in answer.err


def test_a_landscape_is_named_from_the_working_directory(
    platform: Platform, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(platform.path("at home")))
    platform.path("below").mkdir()
    monkeypatch.chdir(platform.path("below"))
    for named, place in (("audit", "below/audit"), ("~/audit", "at home/audit")):
        facts = platform.completed(settings, "--landscape", named)
        assert facts["landscape"].startswith(str(platform.path(place)))
        listed = platform.elspeth("runs", "--landscape", named, "--json").json["runs"]
        assert [run["run_id"] for run in listed] == [facts["run_id"]]
    assert not platform.path("landscape").exists()
    assert not platform.path("audit").exists()


@pytest.fixture
def nowhere(platform: Platform, settings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of no platform, which is the working directory, with nothing said of any root."""
    for name in ("ELSPETH_ROOT", "ELSPETH_LANDSCAPE"):
        monkeypatch.delenv(name)
    folder = platform.path("nowhere")
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("command", [("runs",), ("sql", "SELECT 1"), ("explain", "x", "0")])
def test_who_misses_a_landscape_is_told_why_it_is_looked_for_there(
    platform: Platform, nowhere: Path, command: tuple[str, ...]
) -> None:
    hint = f"The platform root is {nowhere}, since no folder upwards of it holds a workspace.yaml; set ELSP"
    assert hint in platform.elspeth(*command).err
    assert "platform root" not in platform.elspeth(*command, "--landscape", "named").err
    platform.write("workspace.yaml", "")
    assert "platform root" not in platform.elspeth(*command).err


def test_who_misses_an_input_is_told_why_it_is_looked_for_there(
    platform: Platform, settings: Path, nowhere: Path
) -> None:
    hint = f"The platform root is {nowhere}, since"
    missing = platform.run(settings)
    assert missing.json["error"]["type"] == "SourceMissingError"
    assert hint in missing.err
    assert hint not in platform.run(settings, "--source-path", "/no/such/file").err


def test_the_root_is_that_of_the_settings_file_where_nothing_else_says(
    platform: Platform, settings: Path, nowhere: Path
) -> None:
    platform.write("workspace.yaml", "")
    os.chdir("/")

    checked = platform.elspeth("validate", settings)
    ran = platform.run(settings)

    assert (checked.code, ran.code) == (0, 0)
    assert ran.json["landscape"].startswith(str(platform.path("landscape")))
    assert ran.json["rows_in"] == 4
    assert f"the platform root is {platform.root}, which the settings file is in" in ran.err
    (nowhere / "workspace.yaml").touch()
    os.chdir(nowhere)
    of_folder = platform.run(settings)
    assert of_folder.json["landscape"].startswith(str(nowhere))
    assert "platform root" not in of_folder.err


@pytest.mark.dagster_process
def test_a_process_of_its_own_keeps_logs_off_standard_output(platform: Platform, settings: Path) -> None:
    answer = platform.run(settings, process=True)

    assert answer.code == 0
    assert json.loads(answer.out)["status"] == "completed"
    assert answer.out.count("\n") == 1
    assert "4 rows in, 3 succeeded" in answer.err
    assert "Traceback" not in answer.err
    assert not list(platform.root.glob(".tmp_dagster_home_*"))


def test_secrets_are_neither_stored_nor_printed(platform: Platform) -> None:
    platform.write("in.csv", INPUT)
    platform.plugin("caller", '''
        from typing import Any

        from elspeth_dagster.plugins import Options, RowTransform


        class CallerOptions(Options):
            api_key: str


        class Caller(RowTransform):
            """Needs a key."""

            Options = CallerOptions

            def process(self, row: dict[str, Any]) -> dict[str, Any]:
                assert self.options.api_key == "s3cr3t-v4lue"
                if row["id"] == 3:
                    raise ValueError("no luck")
                return row
        ''')  # fmt: skip
    document = SETTINGS.replace("plugin: field_mapper", "plugin: caller").replace(
        "mapping: {amount: total}", 'api_key: "${CALLER_KEY}"'
    )
    settings = platform.pipeline("calls", document.replace("row['total']", "row['amount']"))
    os.environ["CALLER_KEY"] = "s3cr3t-v4lue"
    os.environ["ELSPETH_FINGERPRINT_KEY"] = "a key for fingerprints"

    answers: list[Any] = [
        platform.run(settings),
        platform.elspeth("validate", settings),
        platform.elspeth("runs"),
    ]
    answers.append(platform.elspeth("sql", "SELECT * FROM runs", "--json"))

    assert [answer.code for answer in answers] == [1, 0, 0, 0]
    assert not any("s3cr3t" in answer.out + answer.err for answer in answers)
    assert "api_key_fingerprint" in answers[-1].out
    home = Path(os.environ["DAGSTER_HOME"])
    files = [path for top in (platform.path("landscape"), home) for path in top.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]

"""`elspeth explain`: what a person and a script are told of a row."""

from brittle import MENDED, RAISES, ROWS, settings_of, write_numbers
from platforms import Platform

DAILY = """\
source:
  plugin: csv
  on_success: out
  options: {path: "in/{partition}.csv", on_validation_failure: discard}
sinks:
  out: {plugin: csv, options: {path: "output/{partition}.csv"}}
dagster:
  partitions: daily
  partitions_start: "2026-01-01"
"""

SUMS = """\
source:
  plugin: csv
  on_success: rows
  options:
    path: in.csv
    on_validation_failure: discard
    schema: {mode: fixed, fields: ["id: int", "shop: str", "amount: int"]}
aggregations:
  - name: sums
    plugin: batch_stats
    input: rows
    on_success: out
    on_error: discard
    trigger: {count: 1000}
    options: {value_field: amount, group_by: shop}
sinks:
  out: {plugin: csv, options: {path: output/sums.csv}}
"""


def test_a_row_is_explained_on_the_terminal_and_as_json(platform: Platform) -> None:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", MENDED)
    settings = platform.write("pipelines/tariffs/settings.yaml", settings_of("output"))
    run_id = platform.completed(settings)["run_id"]

    shown = platform.elspeth("explain", run_id, "26")
    told = platform.elspeth("explain", run_id, "26", "--json")
    missing = platform.elspeth("explain", run_id, str(ROWS), "--json")

    assert (shown.code, told.code, missing.code) == (0, 0, 1), shown.err + told.err
    (token,) = told.json["tokens"]
    (by_sql,) = platform.sql(f"SELECT outcome, sink FROM outcomes WHERE run_id = '{run_id}' AND row = 26")
    assert {key: token["outcome"][key] for key in ("outcome", "sink")} == by_sql
    assert token["outcome"]["reason"]["reason"] == "unlucky"
    assert told.json["row"]["data"]["id"] == "26"
    assert told.json["row"]["status"] == "quarantined"
    assert "tariff (brittle) failed" in shown.out
    assert "ended quarantined in sink odd_ones" in shown.out
    assert f"its rows are 0 to {ROWS - 1}" in missing.err
    assert missing.json["error"]["type"] == "NoSuchRowError"


def test_the_input_is_named_as_it_was_chosen(platform: Platform) -> None:
    settings = platform.pipeline("daily", DAILY)
    platform.write("in/2026-01-02.csv", "id\n1\n")
    platform.write("other.csv", "\nid\n\n1\n")
    chosen = {
        "in/2026-01-02.csv": platform.completed(settings, "--partition", "2026-01-02"),
        "other.csv": platform.completed(settings, "--partition", "2026-01-03", "--source-path", "other.csv"),
    }

    for (path, facts), line in zip(chosen.items(), (2, 4), strict=True):
        told = platform.elspeth("explain", facts["run_id"], "0", "--json").json
        assert (told["row"]["input"], told["row"]["line"]) == (path, line)
        shown = platform.elspeth("explain", facts["run_id"], "0").out
        assert f", line {line} of {path}" in shown
        assert f"run {facts['run_id']}, partition {facts['partition']}: completed" in shown


def test_a_row_that_a_batch_consumed_leads_to_what_the_batch_made(platform: Platform) -> None:
    settings = platform.pipeline("sums", SUMS)
    platform.write("in.csv", "id,shop,amount\n" + "".join(f"{n},shop {n % 5},{n}\n" for n in range(9)))
    run_id = platform.completed(settings)["run_id"]

    first, another = (platform.elspeth("explain", "sums", row).out for row in ("0", "4"))

    ended = f"ended completed in sink out, {platform.path('output/sums.csv')}"
    assert f"which made 5 tokens, told by: elspeth explain {run_id} 0" in another
    assert f"0/batch:0, 0/batch:1, 0/batch:2, …: {ended}" in another
    assert ": completed 5 (with what batches made of it and others)\n" in first
    assert "which made 5 tokens, told below" in first
    assert "token 0/batch:4, made of a batch of 9 members\n" in first


def test_a_row_of_a_run_that_stopped_is_not_said_to_be_on_its_way(platform: Platform) -> None:
    document = (
        DAILY.partition("dagster:")[0].replace("{partition}", "day") + "dagster: {checks: {min_rows: 9}}\n"
    )
    settings = platform.pipeline("short", document)
    platform.write("in/day.csv", "id\n1\n")
    assert platform.run(settings).code == 1

    held_back = platform.elspeth("explain", "short", "0")
    run_id = platform.runs()[0]["run_id"]
    assert platform.elspeth("abandon", run_id).code == 0
    abandoned = platform.elspeth("explain", run_id, "0")
    told = platform.elspeth("explain", run_id, "0", "--json").json

    assert f"row 0 of short, run {run_id}, in/day.csv: not delivered" in held_back.out
    assert "not delivered to out: the run is held back by its checks" in held_back.out
    assert "not delivered to out: the run was abandoned" in abandoned.out
    assert (told["run_status"], told["stopped"]) == ("abandoned", "the run was abandoned")
    assert (told["row"]["status"], told["tokens"][0]["outcome"]["sink"]) == ("not delivered", "out")


def test_a_row_that_is_not_processed_says_why(platform: Platform) -> None:
    write_numbers(platform)
    platform.write("pipelines/tariffs/plugins/brittle.py", RAISES)
    assert platform.run(platform.write("pipelines/tariffs/settings.yaml", settings_of("output"))).code == 1

    shown = platform.elspeth("explain", "tariffs", "39").out

    assert "numbers.csv: not delivered" in shown
    assert "it is read, and not processed yet: the run failed" in shown

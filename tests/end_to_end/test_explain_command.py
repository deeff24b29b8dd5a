"""`elspeth explain`: what a person and a script are told of a row."""

from brittle import MENDED, ROWS, settings_of, write_numbers
from platforms import Platform


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
    assert "tariff failed" in shown.out
    assert "ended quarantined in sink odd_ones" in shown.out
    assert f"its rows are 0 to {ROWS - 1}" in missing.err
    assert missing.json["error"]["type"] == "NoSuchRowError"

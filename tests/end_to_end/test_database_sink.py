"""Pipelines that write into databases, as a user starts them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from databases import KINDS, Target, new_target
from platforms import BIN, Platform, kill
from sqlalchemy import make_url

from elspeth_dagster.orchestration.definitions import build_definitions

PASSWORD = "correct-horse-7"


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    with new_target(request.param, tmp_path) as made:
        yield made


def with_password(target: Target) -> str:
    """The URL with a password, which the test's server does not ask for."""
    url = make_url(target.url)
    return target.url if target.kind == "sqlite" else url.set(password=PASSWORD).render_as_string(False)


def settings_of(url: str, **options: Any) -> dict[str, Any]:
    """A pipeline whose good rows go to the table `readings`, and the others to `bad_readings`."""
    return {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "readings.csv", "on_validation_failure": "bad",
                               "schema": {"mode": "fixed", "fields": ["id: int", "value: float"]}}},
        "sinks": {
            "read": {"plugin": "database", "on_write_failure": "bad",
                     "options": {"url": url, "table": "readings", **options}},
            "bad": {"plugin": "database", "options": {"url": url, "table": "bad_readings"}},
        },
    }  # fmt: skip


def write_readings(platform: Platform, rows: int) -> None:
    lines = [f"{number},{'?' if number % 7 == 3 else number / 4}\n" for number in range(rows)]
    platform.write("readings.csv", "id,value\n" + "".join(lines))


def good(rows: int) -> list[tuple[int, float]]:
    return [(number, number / 4) for number in range(rows) if number % 7 != 3]


def test_a_pipeline_writes_two_tables_and_shows_no_password(
    platform: Platform, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_readings(platform, 20)
    monkeypatch.setenv("READINGS_URL", with_password(target))
    settings = platform.pipeline("readings", settings_of("${READINGS_URL}"))
    target.query("CREATE TABLE readings (id INTEGER PRIMARY KEY, value REAL CHECK (value < 4.2))")

    answer = platform.run(settings)

    assert answer.code == 0, answer.err
    run = answer.json
    assert target.query("SELECT id, value FROM readings ORDER BY id") == good(17)
    # Text from the boundary and numbers from the table do not go together: JSON tells them apart.
    bad = {number for (number,) in target.query("SELECT id FROM bad_readings")}
    assert bad == {'"3"', '"10"', '"17"', "18", "19"}
    assert (run["succeeded"], run["quarantined"], run["failed"]) == (15, 5, 0)
    assert run["sinks"]["read"]["uri"].startswith(f"db://readings@{target.kind}://")
    assert target.query("SELECT * FROM elspeth_markers") == []
    shown = [answer.out, answer.err, platform.elspeth("runs", "--json").out]
    for top in (platform.root, Path(os.environ["DAGSTER_HOME"])):
        shown += [path.read_bytes().decode("latin-1") for path in top.rglob("*") if path.is_file()]
    assert [text for text in shown if PASSWORD in text] == []


def test_a_downstream_asset_takes_the_table_as_a_frame(platform: Platform, target: Target) -> None:
    write_readings(platform, 20)
    platform.pipeline("readings", settings_of(with_password(target), if_exists="replace"))

    @dg.asset(ins={"read": dg.AssetIn(key=["readings", "read"])})
    def total(read: pd.DataFrame) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(metadata={"total": float(read["value"].sum()), "rows": len(read)})

    definitions = dg.Definitions.merge(build_definitions("pipelines"), dg.Definitions(assets=[total]))
    with dg.DagsterInstance.get() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        for _ in range(2):
            assert job.execute_in_process(instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey("total"))
        assert event is not None
        found = event.asset_materialization.metadata
        assert found["total"].value == sum(value for _, value in good(20))
        assert found["rows"].value == len(good(20))
        event = instance.get_latest_materialization_event(dg.AssetKey(["readings", "read"]))
        assert event is not None
        facts = event.asset_materialization.metadata
        columns = [(column.name, column.type) for column in facts["dagster/column_schema"].value.columns]
        assert columns == [("id", "int"), ("value", "float")]
        assert str(facts["dagster/uri"].value).startswith("db://readings@")


def test_two_pipelines_with_one_table_do_not_load(platform: Platform) -> None:
    platform.write("readings.csv", "id,value\n")
    platform.pipeline("first", settings_of("sqlite:///data.db"))
    platform.pipeline("second", settings_of(f"sqlite:///{platform.root}/data.db"))
    definitions = build_definitions("pipelines")
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    (broken,) = [key for key in keys if key.path[0] == "broken_settings"]
    assert "readings" in (definitions.resolve_asset_graph().get(broken).description or "")
    one = settings_of("sqlite:///data.db", table="bad_readings")
    answer = platform.elspeth("validate", platform.pipeline("third", one))
    assert answer.code == 2
    assert "writes the same table" in answer.err + answer.out


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter22@h/d", "'mysql' is not supported"),
        ("hunter22", "no SQLAlchemy URL"),
        ("sqlite://", "needs the path of a file"),
    ],
)
def test_a_url_that_cannot_be_used_is_found_at_load(platform: Platform, url: str, said: str) -> None:
    platform.write("readings.csv", "id,value\n")
    answer = platform.elspeth("validate", platform.pipeline("readings", settings_of(url)))
    assert answer.code == 2
    assert said in answer.err + answer.out
    assert "hunter22" not in answer.err + answer.out


@pytest.mark.dagster_process
def test_a_run_killed_while_it_fills_a_table_is_resumed(platform: Platform, target: Target) -> None:
    rows = 240_000
    write_readings(platform, rows)
    settings = platform.pipeline("readings", settings_of(target.url))
    process = platform.start(BIN / "elspeth", "run", settings)
    deadline = time.monotonic() + 100
    try:
        while time.monotonic() < deadline and process.poll() is None:
            if "elspeth_markers" in target.tables() and parts(target) > 1:
                break
            time.sleep(0.005)
    finally:
        kill(process)
    (run,) = platform.runs()
    assert run["status"] != "completed"

    resumed = platform.resume(run["run_id"])

    assert resumed.code == 0, resumed.err
    assert target.query("SELECT id, value FROM readings ORDER BY id") == good(rows)
    (bad,) = target.query("SELECT count(*) FROM bad_readings")
    assert bad[0] == rows - len(good(rows))
    assert target.query("SELECT * FROM elspeth_markers") == []


def parts(target: Target) -> int:
    return int(target.query("SELECT count(*) FROM elspeth_markers WHERE sink = 'read'")[0][0])

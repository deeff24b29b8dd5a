"""Pipelines as Dagster sees them: jobs, assets and their metadata, edges, downstream assets."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from brittle import dagster_run_ids
from dagster._core.definitions.utils import DISALLOWED_NAMES
from platforms import Platform

from elspeth_dagster.orchestration.definitions import build_definitions
from elspeth_dagster.orchestration.names import RESERVED

FIELDS = ["id: int", "amount: float", "note: str?"]
ORDERS = {
    "source": {"plugin": "csv", "on_success": "orders",
               "options": {"path": "in/orders.csv", "on_validation_failure": "bad",
                           "schema": {"mode": "fixed", "fields": FIELDS}}},
    "gates": [{"name": "size", "input": "orders", "condition": "row['amount'] > 10",
               "routes": {"true": "large", "false": "small"}}],
    "sinks": {
        "large": {"plugin": "csv",
                  "options": {"path": "output/large.csv",
                              "schema": {"mode": "fixed", "fields": FIELDS}}},
        "small": {"plugin": "parquet", "options": {"path": "output/small.parquet"}},
        "bad": {"plugin": "json", "options": {"path": "output/bad.jsonl"}},
    },
}  # fmt: skip
INVOICES = {
    "source": {"plugin": "csv", "on_success": "all",
               "options": {"path": "output/large.csv", "on_validation_failure": "discard",
                           "schema": {"mode": "observed"}}},
    "sinks": {"all": {"plugin": "json", "options": {"path": "output/invoices.json"}}},
}  # fmt: skip
INPUT = "id,amount,note\n1,20,a|b\n2,5,\nx,7,<b>\n3,30.5,c\n4,1e3,d\n"


def materialize(definitions: dg.Definitions, instance: dg.DagsterInstance, **how: Any) -> Any:
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, raise_on_error=False, **how)


def metadata(instance: dg.DagsterInstance, *key: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(key))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def write_two_pipelines(platform: Platform) -> None:
    platform.write("in/orders.csv", INPUT)
    platform.pipeline("orders", ORDERS)
    # Sorts before "orders", so that nothing but the edge between the two can put it behind.
    platform.pipeline("invoices", INVOICES)


@pytest.mark.dagster_process
def test_job_execute_works_in_a_folder_with_a_space_and_an_umlaut(
    platform_at: Callable[[Path], Platform], tmp_path: Path
) -> None:
    platform = platform_at(tmp_path / "Daten für heute")
    write_two_pipelines(platform)
    platform.write("config.yaml", {"limit": 2})

    answer = platform.dagster_job_execute("orders", "-c", "config.yaml")

    assert answer.code == 0, answer.err
    (run,) = platform.runs()
    assert (run["status"], run["rows_in"], run["succeeded"]) == ("completed", 2, 2)
    assert platform.read("output/large.csv") == b"id,amount,note\r\n1,20.0,a|b\r\n"
    assert run["sinks"]["large"]["uri"] == str(platform.path("output/large.csv"))


@pytest.mark.dagster_process
def test_job_execute_of_a_failing_pipeline_exits_with_one_and_names_the_node(platform: Platform) -> None:
    platform.pipeline("orders", ORDERS)

    answer = platform.dagster_job_execute("orders")

    assert answer.code == 1
    assert str(platform.path("in/orders.csv")) in answer.err + answer.out
    (run,) = platform.runs()
    assert run["status"] == "failed"


def test_each_asset_carries_its_counts_columns_place_hash_and_preview(platform: Platform) -> None:
    write_two_pipelines(platform)
    with dg.DagsterInstance.get() as instance:
        result = materialize(build_definitions("pipelines"), instance)
        assert result.success
        run_ids = {
            row["pipeline"]: row["run_id"] for row in platform.sql("SELECT pipeline, run_id FROM runs")
        }
        large = metadata(instance, "orders", "large")
        small = metadata(instance, "orders", "small")
        bad = metadata(instance, "orders", "bad")
        source = metadata(instance, "orders", "source")
        event = instance.get_latest_materialization_event(dg.AssetKey(["orders", "large"]))
        version = event.asset_materialization.tags["dagster/data_version"]  # type: ignore[union-attr]

    file = platform.path("output/large.csv")
    numbers = (
        "elspeth/rows_in",
        "elspeth/succeeded",
        "elspeth/failed",
        "elspeth/quarantined",
        "dagster/row_count",
    )
    assert [large[name] for name in numbers] == [5, 3, 0, 0, 3]
    assert [small[name] for name in numbers] == [5, 1, 0, 0, 1]
    assert [bad[name] for name in numbers] == [5, 0, 0, 1, 1]
    assert all(type(large[name]) is int for name in numbers)
    assert large["elspeth/run_id"] == run_ids["orders"]
    assert large["elspeth/sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() == version
    assert large["elspeth/size_bytes"] == file.stat().st_size
    assert large["dagster/uri"] == file.as_uri()
    columns = [(column.name, column.type) for column in large["dagster/column_schema"].columns]
    assert columns == [("id", "int"), ("amount", "float"), ("note", "string")]
    assert [column.name for column in small["dagster/column_schema"].columns] == ["id", "amount", "note"]
    preview = large["preview"].splitlines()
    assert preview[0] == "| id | amount | note |"
    assert len(preview) == 5
    assert "a\\|b" in preview[2]
    assert "<b>" not in bad["preview"]

    assert source["elspeth/rows_in"] == source["dagster/row_count"] == 5
    assert source["dagster/uri"].endswith("orders.csv")
    assert [column.name for column in source["dagster/column_schema"].columns] == ["id", "amount", "note"]


def test_the_balance_is_a_check_on_the_source_and_counts_are_observed(platform: Platform) -> None:
    write_two_pipelines(platform)
    with dg.DagsterInstance.get() as instance:
        result = materialize(build_definitions("pipelines"), instance)
        checks = {check.asset_key: check for check in result.get_asset_check_evaluations()}

    assert set(checks) == {dg.AssetKey(["orders", "source"]), dg.AssetKey(["invoices", "source"])}
    check = checks[dg.AssetKey(["orders", "source"])]
    assert check.passed
    assert check.metadata["elspeth/succeeded"].value == 4
    assert check.metadata["elspeth/quarantined"].value == 1


def test_materialize_all_runs_a_reader_behind_its_writer_and_shows_the_edge(platform: Platform) -> None:
    write_two_pipelines(platform)
    definitions = build_definitions("pipelines")
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["invoices", "source"])).parent_keys == {dg.AssetKey(["orders", "large"])}
    assert graph.get(dg.AssetKey(["orders", "source"])).parent_keys == {
        dg.AssetKey(["files", "in", "orders.csv"])
    }

    with dg.DagsterInstance.get() as instance:
        result = materialize(definitions, instance)
        assert result.success
        runs = {run["pipeline"]: run for run in platform.runs()}
        assert {name: run["rows_in"] for name, run in runs.items()} == {"orders": 5, "invoices": 3}
        assert {*dagster_run_ids(platform, runs["orders"]["run_id"])} == {result.run_id}
        assert {*dagster_run_ids(platform, runs["invoices"]["run_id"])} == {result.run_id}

        platform.write("in/orders.csv", INPUT + "5,99,e\n")
        again = materialize(definitions, instance)
        assert again.success
    assert [(run["status"], run["attempts"]) for run in platform.runs()] == [("completed", 1)] * 4
    assert len(pd.read_json(platform.path("output/invoices.json"))) == 4


def test_assets_have_group_kinds_owners_and_descriptions(platform: Platform) -> None:
    platform.write("in/orders.csv", INPUT)
    platform.pipeline(
        "orders",
        ORDERS | {"dagster": {"group": "finance", "owners": ["team:risk"], "tags": {"tier": "gold"}}},
    )

    graph = build_definitions("pipelines").resolve_asset_graph()

    node = graph.get(dg.AssetKey(["orders", "small"]))
    assert node.group_name == "finance"
    assert node.owners == ["team:risk"]
    assert node.tags["tier"] == "gold"
    assert "dagster/kind/parquet" in node.tags
    assert node.description
    assert node.code_version


def test_a_downstream_asset_takes_a_sinks_rows_as_a_frame(platform: Platform) -> None:
    write_two_pipelines(platform)

    @dg.asset(
        ins={"large": dg.AssetIn(key=["orders", "large"]), "small": dg.AssetIn(key=["orders", "small"])}
    )
    def totals(large: pd.DataFrame, small: pd.DataFrame) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={
            "total": float(large["amount"].sum() + small["amount"].sum()),
            "notes": ",".join(large["note"]),
        })  # fmt: skip

    @dg.asset(ins={"bad": dg.AssetIn(key=["orders", "bad"]), "invoices": dg.AssetIn(key=["invoices", "all"])})
    def rejects(bad: pd.DataFrame, invoices: pd.DataFrame) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"ids": ",".join(bad["id"]), "invoices": len(invoices)})

    definitions = dg.Definitions.merge(
        build_definitions("pipelines"), dg.Definitions(assets=[totals, rejects])
    )
    with dg.DagsterInstance.get() as instance:
        assert materialize(definitions, instance).success
        assert metadata(instance, "totals") == {"total": 1055.5, "notes": "a|b,c,d"}
        assert metadata(instance, "rejects") == {"ids": "x", "invoices": 3}
        alone = materialize(definitions, instance, asset_selection=[dg.AssetKey("totals")])
        assert alone.success


def test_a_pipeline_cannot_be_materialised_in_part(platform: Platform) -> None:
    write_two_pipelines(platform)
    with dg.DagsterInstance.get() as instance, pytest.raises(dg.DagsterInvalidSubsetError):
        materialize(
            build_definitions("pipelines"), instance, asset_selection=[dg.AssetKey(["orders", "small"])]
        )


def broken(definitions: dg.Definitions) -> dict[str, str]:
    """Assets that stand for settings files that do not load, and what they say."""
    graph = definitions.resolve_asset_graph()
    keys = [key for key in graph.get_all_asset_keys() if key.path[0] == "broken_settings"]
    return {key.path[-1]: graph.get(key).description or "" for key in keys}


def job_names(definitions: dg.Definitions) -> set[str]:
    """Jobs, but for those of files that do not load, which only say so."""
    names = {job.name for job in definitions.resolve_all_job_defs() if job.name != "__ASSET_JOB"}
    return names - {name.removesuffix(".yaml") for name in broken(definitions)}


def test_a_broken_settings_file_is_an_asset_that_says_why_and_the_others_load(platform: Platform) -> None:
    write_two_pipelines(platform)
    platform.pipeline("typo", {**ORDERS, "gatess": []})
    platform.pipeline("unreadable", b"\xff\xfe: [")

    definitions = build_definitions("pipelines")

    told = broken(definitions)
    assert set(told) == {"typo.yaml", "unreadable.yaml"}
    assert "gatess" in told["typo.yaml"]
    assert "gates" in told["typo.yaml"].replace("gatess", "")
    assert job_names(definitions) == {"orders", "invoices"}
    with dg.DagsterInstance.get() as instance:
        result = materialize(
            definitions,
            instance,
            asset_selection=[dg.AssetKey(["broken_settings", "pipelines", "typo.yaml"])],
        )
        assert not result.success
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        assert "gatess" in failed.step_failure_data.user_failure_data.description
        assert dg.Definitions.validate_loadable(definitions) is None


@pytest.mark.dagster_process
def test_the_job_of_a_broken_settings_file_fails_with_the_reason(platform: Platform) -> None:
    platform.pipeline("typo", {**ORDERS, "gatess": []})

    answer = platform.dagster_job_execute("typo")

    assert answer.code == 1
    assert "gatess" in answer.err


@pytest.mark.parametrize(
    "block",
    [{"owners": ["not an owner"]}, {"tags": {"a key that is none!": "x"}}, {"group": "with spaces / slash"}],
    ids=["owner", "tag", "group"],
)
def test_what_dagster_itself_refuses_does_not_take_the_others_down(
    platform: Platform, block: dict[str, Any]
) -> None:
    platform.pipeline("orders", ORDERS)
    sinks = {
        name: {"plugin": "csv", "options": {"path": f"output/other_{name}.csv"}} for name in ORDERS["sinks"]
    }
    settings = platform.pipeline("other", {**ORDERS, "sinks": sinks, "dagster": block})

    definitions = build_definitions("pipelines")

    assert "orders" in job_names(definitions)
    told = broken(definitions)
    if "group" in block:
        assert told == {}
    else:
        assert set(told) == {"other.yaml"}
        assert platform.elspeth("validate", settings).code == 2


@pytest.mark.parametrize("name", ["Größe 2024", "a.b", "日次", "class", "1st"])
def test_any_file_name_makes_a_pipeline_that_runs(platform: Platform, name: str) -> None:
    platform.write("in/orders.csv", INPUT)
    settings = platform.pipeline(name, ORDERS)

    facts = platform.completed(settings)

    assert facts["pipeline"] == name
    assert len(job_names(build_definitions("pipelines"))) == 1
    assert broken(build_definitions("pipelines")) == {}


def test_dagsters_reserved_words_are_the_ones_that_we_know() -> None:
    assert RESERVED == DISALLOWED_NAMES


def test_two_pipelines_that_write_one_target_are_refused(platform: Platform) -> None:
    write_two_pipelines(platform)
    copy = {**ORDERS, "gates": [], "source": {**ORDERS["source"], "on_success": "again"}}
    copy["sinks"] = {"again": {"plugin": "csv", "options": {"path": "output/../output/large.csv"}},
                     "bad": {"plugin": "csv", "options": {"path": "output/zbad.csv"}}}  # fmt: skip
    platform.pipeline("zcopy", copy)

    definitions = build_definitions("pipelines")

    told = broken(definitions)
    assert set(told) == {"zcopy.yaml"}
    assert "large.csv" in told["zcopy.yaml"]
    assert "orders" in told["zcopy.yaml"]
    assert job_names(definitions) == {"orders", "invoices"}


def test_two_sinks_that_write_one_target_are_refused(platform: Platform) -> None:
    sinks = {name: {"plugin": "csv", "options": {"path": path}}
             for name, path in (("large", "output/x.csv"), ("small", "output/./x.csv"))}  # fmt: skip
    settings = platform.pipeline("orders", {**ORDERS, "sinks": {**sinks, "bad": ORDERS["sinks"]["bad"]}})

    answer = platform.run(settings)

    assert answer.code == 2
    assert "x.csv" in answer.err
    assert "large" in answer.err


def test_a_sink_called_source_is_refused(platform: Platform) -> None:
    settings = platform.pipeline("named", {
        **INVOICES,
        "source": {**INVOICES["source"], "on_success": "source"},
        "sinks": {"source": {"plugin": "csv", "options": {"path": "output/x.csv"}}},
    })  # fmt: skip

    answer = platform.run(settings)

    assert answer.code == 2
    assert "source" in answer.err
    assert "named.yaml" in answer.err
    assert set(broken(build_definitions("pipelines"))) == {"named.yaml"}


@pytest.mark.parametrize("command", ["run", "validate"])
def test_sinks_whose_names_are_one_for_dagster_are_refused(platform: Platform, command: str) -> None:
    document = {**ORDERS, "sinks": {**ORDERS["sinks"], "bad-rows": ORDERS["sinks"]["large"]}}
    document["sinks"]["bad_rows"] = document["sinks"].pop("bad")
    document["sinks"]["bad-rows"] = document["sinks"].pop("large")
    document["gates"] = [{**ORDERS["gates"][0], "routes": {"true": "bad-rows", "false": "small"}}]
    document["source"] = {
        **ORDERS["source"],
        "options": {**ORDERS["source"]["options"], "on_validation_failure": "bad_rows"},
    }
    settings = platform.pipeline("collide", document)

    answer = platform.elspeth(command, settings)

    assert answer.code == 2
    assert "'bad-rows'" in answer.err
    assert "'bad_rows'" in answer.err
    assert set(broken(build_definitions("pipelines"))) == {"collide.yaml"}


def test_pipelines_whose_names_are_one_for_dagster_are_refused(platform: Platform) -> None:
    write_two_pipelines(platform)
    first = {**INVOICES, "sinks": {"all": {"plugin": "csv", "options": {"path": "output/1.csv"}}}}
    second = {**INVOICES, "sinks": {"all": {"plugin": "csv", "options": {"path": "output/2.csv"}}}}
    platform.pipeline("day-end", first)
    platform.pipeline("day_end", second)

    told = broken(build_definitions("pipelines"))

    assert set(told) == {"day_end.yaml"}
    assert "day-end" in told["day_end.yaml"]


def test_a_job_bears_the_pipelines_name_in_letters_that_dagster_takes(platform: Platform) -> None:
    platform.write("in/orders.csv", INPUT)
    settings = platform.write("pipelines/day-end orders/settings.yaml", ORDERS)

    facts = platform.completed(settings)

    assert facts["pipeline"] == "day-end orders"
    definitions = build_definitions("pipelines")
    assert job_names(definitions) == {"day_end_orders"}
    assert dg.AssetKey(["day-end orders", "large"]) in definitions.resolve_asset_graph().get_all_asset_keys()


def test_definitions_come_from_the_folder_that_the_environment_names(platform: Platform) -> None:
    platform.write("elsewhere/orders.yaml", ORDERS)
    os.environ["ELSPETH_PIPELINES"] = str(platform.path("elsewhere"))

    assert job_names(build_definitions("pipelines")) == {"orders"}


def test_launch_choices_show_in_the_jobs_config_and_reach_the_run(platform: Platform) -> None:
    write_two_pipelines(platform)
    platform.write("in/other.csv", INPUT + INPUT.partition("\n")[2])
    job = build_definitions("pipelines").resolve_job_def("orders")
    fields = job.config_mapping.config_schema.config_type.fields
    defaults = {name: field.default_value for name, field in fields.items()}
    assert defaults == {"limit": 0, "source_path": "in/orders.csv"}

    with dg.DagsterInstance.get() as instance:
        chosen = {"limit": 7, "source_path": "in/other.csv"}
        assert job.execute_in_process(run_config=chosen, instance=instance).success

    (run,) = platform.runs()
    assert run["rows_in"] == 7

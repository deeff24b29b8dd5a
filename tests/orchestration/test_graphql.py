"""What Dagster's GraphQL tells of pipelines and runs, asked of a real `dagster dev`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import brittle
import pytest
from dagster_dev import DagsterDev

pytestmark = [pytest.mark.dagster_process, pytest.mark.xdist_group("dagster_dev")]

NODES = """{ assetNodes { assetKey { path } groupName kinds description opVersion isMaterializable jobNames
                          dependencyKeys { path } } }"""
MATERIALIZED = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
    definition { staleStatus dataVersion }
    assetMaterializations(limit: 1) { runId metadataEntries { label
        ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } ... on UrlMetadataEntry { url }
        ... on PathMetadataEntry { path } ... on MarkdownMetadataEntry { mdStr }
        ... on TableSchemaMetadataEntry { schema { columns { name type } } } } } } } }"""
CHECKED = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
        runId status evaluation { success severity metadataEntries { label
            ... on IntMetadataEntry { intValue }
            ... on TableMetadataEntry { table { records } } } } } } } } } } }"""
FAILURES = """query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message } failureMetadata { metadataEntries { label
        ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } } } } } } } } }"""
DEFAULTS = """query($selector: PipelineSelector!) {
    runConfigSchemaOrError(selector: $selector, mode: "default") {
        ... on RunConfigSchema { rootDefaultYaml } } }"""


def key(asset: str) -> dict[str, Any]:
    return {"path": asset.split("/")}


def values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Metadata entries by label: of each, the one value that it has."""
    return {entry.pop("label"): next(iter(entry.values()), None) for entry in entries}


def materialized(server: DagsterDev, asset: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Run, metadata and definition of an asset's latest materialisation."""
    found = server.ask(MATERIALIZED, key=key(asset))["assetOrError"]
    latest = found["assetMaterializations"][0]
    return latest["runId"], values(latest["metadataEntries"]), found["definition"]


@pytest.fixture
def nodes(dagster_server: DagsterDev) -> dict[str, dict[str, Any]]:
    found = dagster_server.ask(NODES)["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node for node in found}


def depends(node: dict[str, Any]) -> set[str]:
    return {"/".join(dependency["path"]) for dependency in node["dependencyKeys"]}


def test_a_pipeline_is_a_source_and_its_sinks(nodes: dict[str, dict[str, Any]]) -> None:
    group = {name: node for name, node in nodes.items() if node["groupName"] == "claims"}
    sinks = {"claims/approved", "claims/review", "claims/investigate", "claims/unreadable"}
    assert set(group) == sinks | {"claims/source"}
    assert depends(group["claims/source"]) == {"files/pipelines/claims/claims.csv"}
    assert all(depends(group[sink]) == {"claims/source"} for sink in sinks)
    assert depends(nodes["payouts/source"]) == {"claims/approved"}
    kinds = {name.removeprefix("claims/"): node["kinds"] for name, node in group.items()}
    csv, json_file = ["csv"], ["json"]
    assert kinds == {"source": csv, "approved": csv, "review": csv} | {
        "investigate": json_file, "unreadable": json_file
    }  # fmt: skip
    assert all("claims" in node["jobNames"] and node["opVersion"] for node in group.values())
    assert not nodes["files/pipelines/claims/claims.csv"]["isMaterializable"]


def test_descriptions_name_file_way_and_conditions(nodes: dict[str, dict[str, Any]]) -> None:
    described = {name: node["description"] for name, node in nodes.items()}
    assert "`pipelines/claims/claims.csv`" in described["claims/source"]
    assert "does not fit goes to `unreadable`" in described["claims/source"]
    approved = described["claims/approved"]
    assert "`output/claims/approved.csv`" in approved
    assert "`source` → `tidy` → `size` = `true`" in approved
    assert "`size` by `row['amount'] < 1500 and (row['prior_claims'] or 0) <= 2`" in approved
    assert "- `source`: records that do not fit its schema" in described["claims/unreadable"]


def test_a_broken_settings_file_says_where(nodes: dict[str, dict[str, Any]]) -> None:
    spoilt = nodes["broken_settings/pipelines/spoilt.yaml"]
    assert "pipelines/spoilt.yaml:3: source.on_succes: unknown key" in spoilt["description"]
    assert {"claims/source", "tenders/source", "tariffs_query/source"} <= set(nodes)


def test_the_launchpad_begins_with_the_defaults(dagster_server: DagsterDev) -> None:
    schema = dagster_server.ask(DEFAULTS, selector=dagster_server.job("claims"))["runConfigSchemaOrError"]
    assert schema["rootDefaultYaml"] == "limit: 0\nsource_path: pipelines/claims/claims.csv\n"


def test_a_launch_is_reported_with_counts_columns_and_hash(dagster_server: DagsterDev) -> None:
    run = dagster_server.launch("tenders", {"limit": 9})
    assert dagster_server.finished(run) == "SUCCESS"

    figures = {}
    for sink in ("several_lots", "single_lot", "late", "incomplete"):
        dagster_run, facts, definition = materialized(dagster_server, f"tenders/{sink}")
        content = Path(facts["elspeth/path"]).read_bytes()
        assert dagster_run == run
        assert facts["elspeth/sha256"] == definition["dataVersion"] == hashlib.sha256(content).hexdigest()
        assert facts["elspeth/size_bytes"] == len(content)
        assert facts["dagster/row_count"] == facts["elspeth/succeeded"] + facts["elspeth/quarantined"]
        assert facts["elspeth/rows_in"] == 9
        assert definition["staleStatus"] == "FRESH"
        figures[sink] = facts["dagster/row_count"]
    assert sum(figures.values()) == 9

    _, facts, _ = materialized(dagster_server, "tenders/single_lot")
    lines = dagster_server.platform.read("output/tenders/single_lot.csv").decode().splitlines()
    columns = {column["name"]: column["type"] for column in facts["dagster/column_schema"]["columns"]}
    assert list(columns) == lines[0].split(",")
    assert (columns["bid_id"], columns["price"]) == ("string", "float")
    assert facts["dagster/row_count"] == len(lines) - 1
    assert facts["dagster/uri"].endswith("/output/tenders/single_lot.csv")
    assert lines[1].split(",")[0] in facts["preview"]

    _, facts, _ = materialized(dagster_server, "tenders/source")
    assert facts["dagster/row_count"] == 9
    _assert_balanced(dagster_server, run, figures)


def _assert_balanced(server: DagsterDev, run: str, sinks: dict[str, int]) -> None:
    """The check on the source has passed, and tells what came to every sink."""
    (check,) = server.ask(CHECKED, key=key("tenders/source"))["assetNodeOrError"]["assetChecksOrError"][
        "checks"
    ]
    execution = check["executionForLatestMaterialization"]
    assert (check["name"], execution["status"], execution["runId"]) == ("balance", "SUCCEEDED", run)
    facts = values(execution["evaluation"]["metadataEntries"])
    assert facts["elspeth/rows_in"] == 9
    flow = {row["node"]: row for row in map(json.loads, facts["elspeth/flow"]["records"])}
    assert {sink: flow[sink]["rows_in"] for sink in sinks} == sinks
    assert flow["source"]["rows_in"] == 9


def test_a_failed_run_continues_from_failure_and_re_execute_all_begins_anew(
    dagster_server: DagsterDev,
) -> None:
    failed = dagster_server.launch("tariffs_query")
    assert dagster_server.finished(failed) == "FAILURE"
    facts = _failure(dagster_server, failed)
    assert (facts["node"], facts["row"]) == ("tariff", 23)
    assert facts["exception"] == "KeyError: 'no tariff for 23'"
    assert facts["kept"].startswith("40 records read, all there are; 4 of 8 chunks processed")
    assert facts["published"] == "nothing (0 of 3 sinks)"
    assert dagster_server.platform.outputs("output/tariffs_query") == {}

    plugin = "pipelines/tariffs_query/plugins/brittle.py"
    dagster_server.platform.write(plugin, brittle.MENDED)
    resumed = dagster_server.reexecute(failed, "FROM_FAILURE")
    assert dagster_server.finished(resumed) == "SUCCESS"
    assert dagster_server.platform.outputs("output/tariffs_query") == brittle.expected_outputs()

    again = dagster_server.reexecute(resumed, "ALL_STEPS")
    assert dagster_server.finished(again) == "SUCCESS"
    assert dagster_server.platform.outputs("output/tariffs_query") == brittle.expected_outputs()
    first, second, third = dagster_server.attempts("tariffs_query")
    assert first == (facts["run"], 1, "failed", failed)
    assert second == (facts["run"], 2, "completed", resumed)
    assert third == (third[0], 1, "completed", again)
    assert third[0] != facts["run"]


def _failure(server: DagsterDev, dagster_run_id: str) -> dict[str, Any]:
    """The metadata of a run's one step failure."""
    events = server.ask(FAILURES, id=dagster_run_id)["runOrError"]["eventConnection"]["events"]
    (failure,) = [event for event in events if event]
    assert failure["stepKey"] == "tariffs_query__run.process_0_0"
    assert "node 'tariff', row 23" in failure["error"]["message"]
    return values(failure["failureMetadata"]["metadataEntries"])


def test_materialize_all_over_two_pipelines_is_one_run_in_the_right_order(dagster_server: DagsterDev) -> None:
    claims = [f"claims/{name}" for name in ("source", "approved", "review", "investigate", "unreadable")]
    payouts = [f"payouts/{name}" for name in ("source", "payment_file", "rejected")]
    run = dagster_server.launch("__ASSET_JOB", assets=claims + payouts)
    assert dagster_server.finished(run) == "SUCCESS"
    _, approved, _ = materialized(dagster_server, "claims/approved")
    dagster_run, paid, _ = materialized(dagster_server, "payouts/payment_file")
    assert dagster_run == run
    assert paid["elspeth/rows_in"] == approved["dagster/row_count"] == 113
    assert paid["elspeth/run_id"] != approved["elspeth/run_id"]

"""What a user sees and does in Dagster's UI, in a real Chromium."""

import re

import brittle
import pytest
from dagster_dev import DagsterDev
from pages import Pages
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.dagster_process]


@pytest.fixture(scope="module")
def launched(dagster_server: DagsterDev, pages: Pages) -> str:
    """A run of the first five claims, launched by hand in the Launchpad."""
    pages.launchpad("claims")
    assert pages.config() == "limit: 0\nsource_path: pipelines/claims/claims.csv\n"
    pages.type_config("limit: 5")
    run = pages.launch()
    pages.run_ends("Success")
    assert len(dagster_server.platform.read("output/claims/approved.csv").splitlines()) == 5
    return run


def test_the_asset_graph_shows_a_pipeline_and_its_neighbours(pages: Pages) -> None:
    pages.group("claims")
    for name in ("source", "approved", "review", "investigate", "unreadable"):
        expect(pages.text(name)).to_be_visible()
    for neighbour, place in (("claims.csv", "files"), ("source", "payouts")):
        pages.group("claims")
        pages.neighbour(neighbour).click()
        expect(pages.tab).to_have_url(re.compile(f"/asset-groups.*{place}"))


def test_the_run_page_tells_where_the_rows_went(pages: Pages, launched: str) -> None:
    pages.tab.goto(f"/runs/{launched}")
    pages.run_ends("Success")
    pages.events("rows in")
    story = "5 rows in, 5 succeeded, 0 failed, 0 quarantined"
    expect(pages.tab.get_by_text(story)).to_contain_text("approved 4, review 1, investigate 0, unreadable 0")


def test_a_sinks_page_shows_counts_columns_and_preview(pages: Pages, launched: str) -> None:
    pages.asset("claims/approved")
    expect(pages.tab.get_by_text("written by plugin csv")).to_be_visible()
    for column, kind in (("claim_id", "string"), ("policy_years", "int"), ("amount", "float")):
        expect(pages.fact(column)).to_contain_text(kind)
    facts = {
        "elspeth/rows_in": "5",
        "elspeth/succeeded": "4",
        "elspeth/failed": "0",
        "elspeth/quarantined": "0",
    }
    for key, value in facts.items():
        expect(pages.fact(key).get_by_text(value, exact=True)).to_be_attached()
    expect(pages.fact("preview")).to_contain_text(re.compile(r"C-2600.*741\.37.*C-2602.*286\.54", re.DOTALL))
    row_count = pages.tab.locator("div").filter(has_text=re.compile("^Row count4$"))
    expect(row_count.first).to_be_visible()


def test_counts_are_plotted_over_time(pages: Pages, launched: str) -> None:
    pages.asset("claims/approved")
    pages.text("Plots").click()
    for key in ("dagster/row_count", "elspeth/succeeded", "elspeth/quarantined"):
        expect(pages.text(key)).to_be_attached()
    expect(pages.tab.locator("canvas").first).to_be_attached()


def test_the_balance_is_a_check_that_passed(pages: Pages, launched: str) -> None:
    pages.asset("claims/source", "checks")
    expect(pages.text("balance")).to_be_visible()
    expect(pages.text("Passed")).to_be_visible()
    flow = pages.fact("elspeth/flow")
    expect(flow).to_contain_text(re.compile("tidy.*size.*approved 4.*risk.*review 1", re.DOTALL))


def test_a_failed_run_names_its_culprit_and_can_go_on(dagster_server: DagsterDev, pages: Pages) -> None:
    pages.launchpad("tariffs_page")
    failed = pages.launch()
    pages.run_ends("Failure")
    pages.events("type:STEP_FAILURE")
    message = "pipeline 'tariffs_page', node 'tariff', row 23: the plugin raised KeyError: 'no tariff for 23'"
    expect(pages.tab.get_by_text(message).first).to_be_visible()
    facts = {"node": "tariff", "row": "23", "exception": "KeyError: 'no tariff for 23'"}
    for key, value in facts.items():
        expect(pages.fact(key).get_by_text(value, exact=True)).to_be_visible()
    assert dagster_server.platform.outputs("output/tariffs_page") == {}

    dagster_server.platform.write("pipelines/tariffs_page/plugins/brittle.py", brittle.MENDED)
    resumed = pages.reexecute_from_failure()
    pages.run_ends("Success")
    assert dagster_server.platform.outputs("output/tariffs_page") == brittle.expected_outputs()
    attempts = dagster_server.attempts("tariffs_page")
    assert [attempt[1:] for attempt in attempts] == [(1, "failed", failed), (2, "completed", resumed)]
    assert len({run for run, *_ in attempts}) == 1
    pages.asset("tariffs_page/large")
    expect(pages.fact("elspeth/succeeded")).to_be_attached()


def test_a_broken_settings_file_is_an_asset_that_says_what_is_wrong(pages: Pages) -> None:
    pages.asset("broken_settings/pipelines/spoilt.yaml")
    expect(pages.text("spoilt does not load.")).to_be_visible()
    expect(pages.tab.get_by_text("pipelines/spoilt.yaml:3: source.on_succes: unknown key")).to_be_visible()

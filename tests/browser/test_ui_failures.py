"""What a user sees of a run that is held back, runs, or was terminated, and how they go on by clicking."""

import brittle
import pytest
from dagster_dev import DagsterDev
from pages import Pages
from platforms import wait_for
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.dagster_process]

CHECK = "max_quarantined_fraction"
FRACTION = brittle.expected_counts()["quarantined"] / brittle.ROWS


def test_a_run_that_a_check_holds_back_is_released_with_a_reason(
    dagster_server: DagsterDev, pages: Pages
) -> None:
    pages.launchpad("tariffs_held")
    held = pages.launch()
    pages.run_ends("Failure")
    pages.events("type:STEP_FAILURE")
    expect(
        pages.tab.get_by_text("is held back by its checks, and nothing was published").first
    ).to_be_visible()
    pages.text("View full message").click()
    expect(pages.fact("kept")).to_contain_text("40 records read, all there are; 8 of 8 chunks processed")
    expect(pages.fact("next")).to_contain_text("elspeth/accept_checks=REASON")
    expect(pages.fact("set aside so far")).to_contain_text("validation_failed: value (expected: float)")
    assert dagster_server.platform.outputs("output/tariffs_held") == {}

    pages.check("tariffs_held/source", CHECK)
    expect(pages.tab.get_by_text("blocking asset check")).to_be_visible()
    expect(pages.fact("elspeth/quarantined_fraction")).to_contain_text(str(FRACTION))
    expect(pages.fact("elspeth/limit")).to_contain_text("0.1")
    pages.check("tariffs_held/source", "balance")
    expect(pages.text("Passed")).to_be_visible()

    pages.reexecute_with_tag("tariffs_held", "elspeth/accept_checks", "known to the supplier")
    wait_for(lambda: len(dagster_server.attempts("tariffs_held")) == 2, "the second attempt")
    (first, second) = dagster_server.attempts("tariffs_held")
    assert dagster_server.finished(second[3]) == "SUCCESS"
    assert first[1:] == (1, "failed", held)
    assert second[0] == first[0]
    assert dagster_server.platform.outputs("output/tariffs_held") == brittle.expected_outputs()
    pages.check("tariffs_held/source", CHECK)
    expect(pages.tab.get_by_text("known to the supplier").first).to_be_visible()
    expect(pages.tab.locator("canvas").first).to_be_attached()


def test_a_running_run_shows_where_it_is_and_goes_on_after_it_was_terminated(
    dagster_server: DagsterDev, pages: Pages
) -> None:
    platform = dagster_server.platform
    pages.launchpad("tariffs_hangs")
    terminated = pages.launch()
    wait_for(platform.path("reached").exists, "row 23")
    expect(pages.text("Started")).to_be_visible()
    expect(pages.text("Executing (1)")).to_be_visible()
    expect(pages.text("tariffs_hangs__run.process_0_0")).to_be_visible()

    pages.terminate()
    pages.tab.goto(f"/runs/{terminated}")
    pages.run_ends("Canceled")
    pages.events("type:STEP_FAILURE")
    story = "was interrupted. kept: 40 records read, all there are; 4 of 8 chunks processed"
    expect(pages.tab.get_by_text(story).first).to_be_visible()
    assert platform.outputs("output/tariffs_hangs") == {}

    platform.write("go", "")
    resumed = pages.reexecute_from_failure()
    pages.run_ends("Success")
    assert platform.outputs("output/tariffs_hangs") == brittle.expected_outputs()
    attempts = dagster_server.attempts("tariffs_hangs")
    assert [attempt[1:] for attempt in attempts] == [
        (1, "interrupted", terminated), (2, "completed", resumed)
    ]  # fmt: skip

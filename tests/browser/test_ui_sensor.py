"""A sensor that a user turns on in the UI, and a file that they drop in."""

import pytest
from dagster_dev import DagsterDev
from pages import Pages
from platforms import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.dagster_process]


def test_a_file_that_is_dropped_in_is_run(dagster_server: DagsterDev, pages: Pages) -> None:
    platform = dagster_server.platform
    pages.turn_on("arrivals__sensor")
    platform.write("in/first.csv", "id\n1\n")
    wait_for(platform.path("output/arrivals/first.csv").exists, "the file's output")
    wait_for(
        lambda: [status for _, _, status, _ in dagster_server.attempts("arrivals")] == ["completed"],
        "the end of the file's run",
    )
    assert platform.outputs("output/arrivals") == {"first.csv": b"id\r\n1\r\n"}

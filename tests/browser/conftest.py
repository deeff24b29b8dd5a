"""A real Chromium that looks at the session's `dagster dev`."""

from collections.abc import Iterator

import pytest
from dagster_dev import DagsterDev
from pages import Pages, browser, chromium


@pytest.fixture(scope="session")
def pages(dagster_server: DagsterDev) -> Iterator[Pages]:
    """The UI's pages, in one tab: Dagster shows its pop-up to the first visitor alone."""
    executable = chromium()
    if executable is None:
        pytest.skip("needs Chromium")
    with browser(executable, dagster_server.url) as tab:
        yield Pages(tab)


@pytest.fixture(autouse=True)
def empty_tab(pages: Pages) -> Iterator[None]:
    """Leaves no page open: Dagster's pages ask the server for news as long as they are."""
    yield
    pages.tab.goto("about:blank")

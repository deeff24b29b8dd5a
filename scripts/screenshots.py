"""Makes docs/images/*.png: the examples in the Dagster UI, in a real Chromium."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "docs")]

from dagster_dev import (  # noqa: E402
    IMPATIENT_YAML,
    DagsterDev,
    add_brittle,
    dagster_dev,
    example_platform,
)
from markdown_pages import GUIDE  # noqa: E402
from markdown_pages import Page as GuidePage  # noqa: E402
from pages import Pages, browser, chromium  # noqa: E402
from platforms import Platform, wait_for  # noqa: E402
from playwright.sync_api import Page, expect  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE = (1200, 700)
_SETTLED_MS = 2_000
"""Until animations and the graph's layout are over."""


def main() -> int:
    """Takes every picture; gives the exit code."""
    executable = chromium()
    if executable is None:
        print("needs Chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        platform = example_platform(Path(folder) / "platform")
        add_brittle(platform, "tariffs")
        _add_from_guide(platform, "on-time", "pipelines/arrivals.yaml")
        for name in ("fares.csv", "settings.yaml"):
            _add_from_guide(platform, "checks-and-alerts", f"pipelines/fares/{name}")
        home = Path(folder) / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text() + IMPATIENT_YAML)
        with dagster_dev(platform, home) as server, browser(executable, server.url, SIZE) as tab:
            tab.get_by_text("Hide navigation").click()
            _take_all(server, Pages(tab))
    return 0


def _add_from_guide(platform: Platform, page: str, file: str) -> None:
    """Writes a file as a page of the guide has it, so that its pictures show what it is about."""
    path = next(path for path in GUIDE if path.stem == page)
    block = next(block for block in GuidePage.read(path).blocks() if block.file == file)
    platform.write(file, block.text.encode())


def _take_all(server: DagsterDev, pages: Pages) -> None:
    for limit in (40, 80, 120, 200):
        server.finished(server.launch("claims", {"limit": limit}))
    server.finished(server.launch("payouts"))
    _launchpad(pages)
    _run(server, pages)
    _asset(pages)
    _plots(pages)
    _checks(pages)
    _asset_graph(pages)
    _failure(server, pages)
    _held_back(server, pages)
    _partitions(server, pages)


def _launchpad(pages: Pages) -> None:
    pages.launchpad("claims")
    _take(pages.tab, "launchpad")


def _run(server: DagsterDev, pages: Pages) -> None:
    run = server.launch("claims")
    pages.tab.goto(f"/runs/{run}")
    pages.run_ends("Success")
    pages.events("type:ASSET_CHECK_EVALUATION")
    with _taller(pages.tab, 260):
        pages.text("View full message").click()
        _take(pages.tab, "run", height=SIZE[1] + 230)


def _asset(pages: Pages) -> None:
    pages.tab.goto("/assets/claims/approved?view=events")
    pages.text("elspeth/quarantined").wait_for()
    _take(pages.tab, "asset")


def _plots(pages: Pages) -> None:
    pages.asset("claims/approved")
    pages.text("Plots").click()
    pages.tab.locator("canvas").first.scroll_into_view_if_needed()
    _take(pages.tab, "plots")


def _checks(pages: Pages) -> None:
    with _taller(pages.tab, 300):
        pages.check("claims/source", "max_quarantined_fraction")
        pages.tab.locator("canvas").first.wait_for()
        _take(pages.tab, "checks", height=SIZE[1] + 270)


def _asset_graph(pages: Pages) -> None:
    with _taller(pages.tab, 150):
        pages.group("claims")
        pages.tab.get_by_role("button", name="config").click()
        for facet in ("Automation", "Partitions"):
            pages.tab.locator("[class*=dialog]").get_by_text(facet, exact=True).first.click()
        pages.text("Save").click()
        pages.group("claims")
        expect(pages.tab.get_by_text("Materialized", exact=True)).to_have_count(5)
        _take(pages.tab, "asset-graph", height=SIZE[1] + 150)


def _failure(server: DagsterDev, pages: Pages) -> None:
    run = server.launch("tariffs")
    pages.tab.goto(f"/runs/{run}")
    pages.run_ends("Failure")
    pages.events("type:STEP_FAILURE")
    with _taller(pages.tab, 300):
        pages.text("View full message").click()
        _take(pages.tab, "failure", height=SIZE[1] + 110)


def _held_back(server: DagsterDev, pages: Pages) -> None:
    run = server.launch("fares")
    pages.tab.goto(f"/runs/{run}")
    pages.run_ends("Failure")
    pages.events("type:STEP_FAILURE")
    with _taller(pages.tab, 150):
        pages.text("View full message").click()
        _take(pages.tab, "held-back", height=SIZE[1] + 80)


def _partitions(server: DagsterDev, pages: Pages) -> None:
    shops = ("bergen", "cork", "gdansk", "lyon", "porto")
    for shop in shops:
        server.platform.write(f"inbox/returns/{shop}.csv", "id,amount\n7,3\n8,20\n")
    pages.turn_on("arrivals__sensor")
    completed = "SELECT count(*) AS n FROM runs WHERE pipeline = 'arrivals' AND status = 'completed'"
    wait_for(lambda: bool(server.sql(completed)[0]["n"] == len(shops)), "the files' runs", 300)
    server.platform.path("inbox/returns/cork.csv").unlink()
    server.finished(server.launch("arrivals", tags={"dagster/partition": "cork.csv"}))
    pages.asset("arrivals/arrivals", "partitions")
    pages.text("gdansk.csv").click()
    pages.text("elspeth/quarantined").wait_for()
    _take(pages.tab, "partitions")


@contextmanager
def _taller(tab: Page, pixels: int) -> Iterator[None]:
    tab.set_viewport_size({"width": SIZE[0], "height": SIZE[1] + pixels})
    yield
    tab.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})


def _take(tab: Page, name: str, height: int = SIZE[1]) -> None:
    """A picture of the tab, so many pixels from the top downwards."""
    tab.mouse.move(0, 0)
    tab.wait_for_timeout(_SETTLED_MS)
    clip = {"x": 0.0, "y": 0.0, "width": float(SIZE[0]), "height": float(height)}
    path = IMAGES / f"{name}.png"
    tab.screenshot(path=path, clip=clip)  # type: ignore[arg-type]
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())

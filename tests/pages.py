"""Dagster's pages in a real Chromium, as far as our tests and screenshots look at them."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect, sync_playwright

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync",
    "--disable-component-update",
]  # fmt: skip
DEADLINE_MS = 300_000
LOCATION = "/locations/elspeth"


def chromium() -> str | None:
    """Where there is a Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def browser(executable: str, url: str, size: tuple[int, int] = (1400, 1200)) -> Iterator[Page]:
    """A tab at the UI under `url`, with the pop-up that covers every page of a new user skipped."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        context = chromium.new_context(base_url=url, viewport={"width": size[0], "height": size[1]})
        context.set_default_timeout(DEADLINE_MS)
        expect.set_options(timeout=DEADLINE_MS)
        tab = context.new_page()
        tab.goto("/jobs")
        tab.get_by_text("Skip", exact=True).click()
        yield tab
        chromium.close()


@dataclass(frozen=True)
class Pages:
    """The pages, in one tab.

    Attributes:
        tab: Where they are opened.
    """

    tab: Page

    def group(self, group: str) -> None:
        """The asset graph of one group."""
        self.tab.goto(f"{LOCATION}/asset-groups/{group}/lineage")
        self.text("Materialize all").wait_for()

    def neighbour(self, name: str) -> Locator:
        """What leads from one group's asset graph to an asset of another group."""
        leads_out = self.tab.get_by_role("img", name="open_in_new")
        return self.tab.locator("div", has=leads_out).filter(has_text=re.compile(f"^{re.escape(name)}$")).last

    def launchpad(self, job: str) -> None:
        """The Launchpad of a job, ready, opened as the guide says."""
        self.tab.goto("/jobs")
        self.text(job).click()
        self.text("Materialize all").wait_for()
        opens_menu = self.tab.get_by_role("img", name="arrow_drop_down")
        self.tab.get_by_role("button").filter(has=opens_menu).click()
        self.text("Open launchpad").click()
        expect(self._editor).to_contain_text("limit:")
        self.text("No errors").wait_for()

    @property
    def _editor(self) -> Locator:
        """The Launchpad's editor. The field that picks assets on the page behind is an editor too."""
        return self.tab.locator(".CodeMirror").last

    def config(self) -> str:
        """What stands in the Launchpad's editor."""
        text: str = self._editor.evaluate("editor => editor.CodeMirror.getValue()")
        return text

    def type_config(self, config: str) -> None:
        """Replaces what stands in the Launchpad's editor, by keyboard."""
        self._editor.locator(".CodeMirror-code").click()
        self.tab.keyboard.press("Control+A")
        self.tab.keyboard.type(config)
        self.text("No errors").wait_for()

    def launch(self) -> str:
        """Launches from the Launchpad and gives the Dagster run's id."""
        self.text("Materialize").click()
        self.tab.wait_for_url("**/runs/*")
        return self.run_id()

    def run_id(self) -> str:
        """The run of the run page."""
        return self.tab.url.rsplit("/", 1)[1].partition("?")[0]

    def run_ends(self, status: str) -> None:
        """Waits on a run page until the run is over, as it has to be."""
        tag = self.tab.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
        expect(tag).to_have_text(status)

    def events(self, wanted: str) -> None:
        """Filters the events of a run page."""
        self.tab.get_by_placeholder("Filter…").fill(wanted)

    def reexecute_from_failure(self) -> str:
        """Chooses it in the menu of a failed run's page, and gives the new run's id."""
        failed = self.run_id()
        self.tab.locator("[class*=LaunchButton_dropdownArrow]").click()
        self.text("From failure").click()
        self.tab.wait_for_url(lambda url: "/runs/" in url and failed not in url)
        return self.run_id()

    def terminate(self) -> None:
        """Ends the run of a run page, as a user does who thinks better of it."""
        self.tab.get_by_role("button", name="Terminate").click()
        self.tab.get_by_role("button", name="Terminate 1 run").click()

    def reexecute_with_tag(self, job: str, key: str, value: str) -> None:
        """Re-executes the only run of a job from failure on the page Runs, with a tag."""
        self.tab.goto(f"/runs?q[0]=job:{job}")
        self.text("Failure").wait_for()
        # The boxes: runs within backfills, all runs, the run.
        self.tab.get_by_role("checkbox").nth(2).locator("xpath=..").click()
        self.tab.get_by_role("button", name="Actions").click()
        self.text("Re-execute 1 run from failure").click()
        self.text("Add custom tag").click()
        self.tab.get_by_placeholder("Tag Key").fill(key)
        self.tab.get_by_placeholder("Tag Value").fill(value)
        self.tab.get_by_role("button", name="Re-execute 1 run", exact=True).click()

    def turn_on(self, sensor: str) -> None:
        """Switches a sensor on, on its page."""
        self.tab.goto(f"{LOCATION}/sensors/{sensor}")
        switch = self.tab.get_by_role("checkbox").first
        switch.locator("xpath=..").click()
        expect(switch).to_be_checked()

    def check(self, asset: str, check: str) -> None:
        """A check on the page of an asset."""
        self.asset(asset, "checks")
        self.text(check).click()
        self.text("Latest execution").wait_for()

    def asset(self, asset: str, view: str = "overview") -> None:
        """The page of an asset."""
        self.tab.goto(f"/assets/{asset}?view={view}")
        self.text("Materialize").wait_for()

    def text(self, text: str) -> Locator:
        """The first element with exactly this text."""
        return self.tab.get_by_text(text, exact=True).first

    def fact(self, key: str) -> Locator:
        """The row of a metadata table with this key."""
        return self.tab.get_by_role("row").filter(has=self.tab.get_by_text(key, exact=True)).first

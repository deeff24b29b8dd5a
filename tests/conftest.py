"""Shared by all tests: a platform in a temporary folder, and the rule for what is absent.

A test that needs something absent is skipped on a user's machine. Where ELSPETH_NO_SKIP=1, as in CI, every
skip is a failure, save those of tests marked `may_skip`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import brittle
import dagster as dg
import pytest
from dagster_dev import ARRIVALS, IMPATIENT_YAML, DagsterDev, add_brittle, dagster_dev, example_platform
from hypothesis import HealthCheck, settings
from platforms import HOME_YAML, Platform, Start, kill
from xdist.scheduler import LoadScopeScheduling

NO_SKIP = "ELSPETH_NO_SKIP"
_WITH_SERVER = ("tests/browser/", "tests/orchestration/test_graphql.py")
_CRASHES = "tests/end_to_end/test_crash.py"
_OURS = "ELSPETH_"
_KEPT = (NO_SKIP, "ELSPETH_SHARED_DATA")

# How long a case takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "may_skip: what it needs may be absent even where skips fail")
    config.addinivalue_line("markers", "takes_minutes: begun first, so that all others run beside it")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("takes_minutes") is None)


class Sharing(LoadScopeScheduling):
    """Gives to one worker what shares something costly, and all other tests one by one.

    That is the session's `dagster dev`, and what undisturbed runs leave, with which killed ones are compared.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(_WITH_SERVER):
            return "dagster dev"
        return file if file == _CRASHES else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Sharing(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    strict = os.environ.get(NO_SKIP) == "1" and item.get_closest_marker("may_skip") is None
    if strict and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where {NO_SKIP}=1 allows no skips: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def dagster_homes() -> Iterator[Path]:
    """A folder for Dagster homes, in memory where that can be had.

    A pipeline costs Dagster a few hundred synchronous writes, whose durability is not what is tested here.
    """
    memory = Path("/dev/shm")
    top = tempfile.mkdtemp(prefix="elspeth-homes-", dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(top)
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="session")
def dagster_home_template(dagster_homes: Path) -> Path:
    """A Dagster home with its databases made: making them takes longer than most tests."""
    home = dagster_homes / "template"
    home.mkdir()
    (home / "dagster.yaml").write_text(HOME_YAML)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs(limit=1) == []
    return home


@pytest.fixture
def platform_at(dagster_home_template: Path, dagster_homes: Path) -> Iterator[Callable[[Path], Platform]]:
    """Makes a platform in a folder, and points this process at it until the test ends."""
    here = Path.cwd()
    homes: list[Path] = []
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(_OURS) and name not in _KEPT]:
            del os.environ[name]

        def make(root: Path) -> Platform:
            root.mkdir(parents=True, exist_ok=True)
            home = Path(tempfile.mkdtemp(dir=dagster_homes))
            shutil.copytree(dagster_home_template, home, dirs_exist_ok=True)
            homes.append(home)
            places = {"ELSPETH_ROOT": root, "ELSPETH_LANDSCAPE": root / "landscape", "DAGSTER_HOME": home}
            os.environ.update({name: str(place) for name, place in places.items()})
            os.chdir(root)
            return Platform(root)

        yield make
        os.chdir(here)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def platform(platform_at: Callable[[Path], Platform], tmp_path: Path) -> Platform:
    """A platform in a folder of its own."""
    return platform_at(tmp_path / "platform")


@pytest.fixture
def start(platform: Platform) -> Iterator[Start]:
    """Starts commands that are killed at the latest when the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def starting(*command: str | Path) -> "subprocess.Popen[bytes]":
        started.append(platform.start(*command))
        return started[-1]

    yield starting
    for process in started:
        kill(process)


@pytest.fixture(scope="session")
def dagster_server(dagster_home_template: Path, dagster_homes: Path) -> Iterator[DagsterDev]:
    """One `dagster dev` for all tests of a session that look at it.

    It serves the examples, the pipelines `tariffs_page` and `tariffs_query` whose plugin raises,
    `tariffs_hangs` whose plugin waits, `tariffs_held` with a check that holds it back, `arrivals` with a
    sensor, and a broken settings file.
    """
    platform = example_platform(dagster_homes / "dev platform")
    for name in ("tariffs_page", "tariffs_query"):
        add_brittle(platform, name)
    add_brittle(platform, "tariffs_hangs", brittle.HANGS)
    add_brittle(platform, "tariffs_held", brittle.MENDED, {"max_quarantined_fraction": 0.1, "min_rows": 1})
    platform.pipeline("arrivals", ARRIVALS)
    platform.write("pipelines/spoilt.yaml", {"source": {"plugin": "csvv", "on_succes": "read"}})
    home = dagster_homes / "dev"
    shutil.copytree(dagster_home_template, home)
    (home / "dagster.yaml").write_text(HOME_YAML + IMPATIENT_YAML)
    with dagster_dev(platform, home) as server:
        yield server

"""Runs that are killed at random instants end, once continued, as if nothing had been; see crash.py."""

import sys
from pathlib import Path

import pytest
from databases import SERVER

sys.path.insert(0, str(Path(__file__).parent))

from crash import Undisturbed, run_case, run_cases
from crash_cases import PIPELINES, Case, drawn

pytestmark = pytest.mark.dagster_process

# Few seeds have cases of all kinds and forty kills.
SEEDS = [range(first, first + 3) for first in range(476, 497, 3)]


@pytest.fixture(scope="module")
def known() -> Undisturbed:
    """What runs leave that were left alone, as far as it was needed before."""
    return {}


@pytest.mark.parametrize("seeds", SEEDS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_a_run_that_is_killed_at_random_ends_as_if_it_had_not_been(
    seeds: range, tmp_path: Path, known: Undisturbed
) -> None:
    failures = run_cases(seeds, tmp_path, known)
    assert not failures, "\n".join(failures)


def test_a_run_launched_through_dagster_dev_is_killed_and_ends_as_if_it_had_not_been(
    tmp_path: Path, known: Undisturbed
) -> None:
    case = Case("appends", 1, "dev", ((0.7, "SIGKILL", "process"),))
    found = run_case("dev", case, tmp_path, known)
    assert not found, found


def test_the_cases_are_of_all_kinds_and_have_forty_kills() -> None:
    cases = [drawn(seed) for seeds in SEEDS for seed in seeds]
    assert {case.pipeline for case in cases} == set(PIPELINES)
    assert {case.way for case in cases} == {"elspeth", "dagster"}
    assert {case.shards for case in cases} == {1, 2}
    assert {case.forget for case in cases} == {True, False}
    assert {case.orphans for case in cases} == {"killed", "alive", "asleep"}
    assert {case.catalogue for case in cases} == {"sqlite", "postgresql"} if SERVER else {"sqlite"}
    assert {case.table for case in cases} == {"sqlite", "postgresql"} if SERVER else {"sqlite"}
    assert sum(len(case.kills) for case in cases) >= 40

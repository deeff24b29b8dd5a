"""For which run an acceptance of checks was given, however Dagster copies its tags."""

import dagster as dg
import pytest

from elspeth_dagster.engine.checks import Acceptance
from elspeth_dagster.orchestration.checks import acceptance
from elspeth_dagster.orchestration.names import ACCEPT_CHECKS_TAG, ACCEPTED_AT_TAG, ACCEPTED_BY_TAG

TAGS = {ACCEPT_CHECKS_TAG: "both rides were cancelled", ACCEPTED_BY_TAG: "R. Vogel"}
VOGEL = Acceptance("R. Vogel", "both rides were cancelled")


def run(name: str, **tags: str) -> dg.DagsterRun:
    return dg.DagsterRun("job", run_id=name, tags=tags)


def test_it_is_given_in_the_run_that_has_the_tag_first() -> None:
    first, second, third = run("first"), run("second", **TAGS), run("third", **TAGS)
    numbers = {"first": 1, "second": 2, "third": 3}
    assert acceptance(first, (), numbers) is None
    assert acceptance(second, (first,), numbers) == (VOGEL, 2)
    assert acceptance(third, (second, first), numbers) == (VOGEL, 2), "copied by a retry"


def test_one_given_for_another_run_is_none() -> None:
    last_week, again = run("last week", **TAGS), run("again", **TAGS)
    assert acceptance(again, (last_week,), {"again": 1}) is None
    retried = run("retried", **TAGS)
    assert acceptance(retried, (again, last_week), {"again": 1, "retried": 2}) is None


@pytest.mark.parametrize("tag", [ACCEPT_CHECKS_TAG, ACCEPTED_BY_TAG, ACCEPTED_AT_TAG])
def test_one_that_differs_is_given_anew(tag: str) -> None:
    before, now = run("before", **TAGS), run("now", **(TAGS | {tag: "other"}))
    found = acceptance(now, (before,), {"now": 4})
    assert found is not None
    assert found[1] == 4

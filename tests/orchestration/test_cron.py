"""Cron expressions: what is accepted is what Dagster finds a next time for."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from dagster._utils.schedules import is_valid_cron_schedule, schedule_execution_time_iterator
from dagster._vendored.croniter import CroniterBadDateError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elspeth_dagster.settings.cron import cron_problem

_FROM = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def _items(numbers: st.SearchStrategy[int], *others: str) -> st.SearchStrategy[str]:
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.one_of(numbers.map(str), ranges, st.just("*")), st.integers(1, 31))
    item = st.one_of(numbers.map(str), ranges, stepped.map(lambda parts: f"{parts[0]}/{parts[1]}"))
    return st.one_of(st.sampled_from(others), st.lists(item, min_size=1, max_size=3).map(",".join))


@st.composite
def _expressions(draw: Callable[[st.SearchStrategy[str]], str]) -> str:
    day = draw(_items(st.sampled_from([1, 28, 29, 30, 31]), "*", "?", "l"))
    month = draw(_items(st.sampled_from([1, 2, 4, 6, 9, 11, 12]), "*", "feb", "apr", "jun-feb"))
    weekday = draw(st.one_of(st.just("*"), _items(st.integers(0, 7), "*", "?", "mon", "sun-sat", "7")))
    return f"0 0 {day} {month} {weekday}"


def _comes(expression: str) -> bool:
    if not is_valid_cron_schedule(expression):
        return False
    try:
        return next(schedule_execution_time_iterator(_FROM, expression, "UTC")) is not None
    except CroniterBadDateError:
        return False


@settings(max_examples=150)
@given(_expressions())
@example("0 0 31 4 *")
@example("0 0 31 4,6,9,11 *")
@example("0 0 30-31 2 *")
@example("0 0 31 2,4 *")
@example("0 0 31 4 0-6")
@example("0 0 31 4 mon")
@example("0 0 31 2 mon")
@example("0 0 31/2 4 *")
@example("0 0 31 6-6 *")
def test_no_schedule_is_accepted_whose_day_never_comes(expression: str) -> None:
    assert (cron_problem(expression) is None) == _comes(expression), cron_problem(expression)


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 l 2 *", "@yearly", "0 0 31 1,4 *"])
def test_a_rare_day_is_accepted(expression: str) -> None:
    assert cron_problem(expression) is None

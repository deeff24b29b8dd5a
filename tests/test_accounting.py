"""Balance: what must add up, and that a lost or doubled token is found and named."""

import pytest

from elspeth_dagster.accounting import (
    Measure,
    Tally,
    counts_of_run,
    counts_of_sink,
    imbalances,
    run_imbalances,
)

SINKS = frozenset({"high", "bad"})

BALANCED = (
    Tally("source", Measure.CREATED, "", "", 10),
    Tally("source", Measure.OUT, "on_success", "gate", 8),
    Tally("source", Measure.OUT, "on_validation_failure", "bad", 2),
    Tally("gate", Measure.IN, "", "", 8),
    Tally("gate", Measure.OUT, "true", "high", 7),
    Tally("gate", Measure.ENDED, "quarantined", "", 1),
    Tally("high", Measure.IN, "", "", 7),
    Tally("high", Measure.ENDED, "routed", "", 6),
    Tally("high", Measure.OUT, "on_write_failure", "bad", 1),
    Tally("bad", Measure.IN, "", "", 3),
    Tally("bad", Measure.ENDED, "quarantined", "", 3),
)


def without(index: int) -> tuple[Tally, ...]:
    return BALANCED[:index] + BALANCED[index + 1 :]


def test_balanced_accounts_have_no_imbalance() -> None:
    assert imbalances(BALANCED, sinks=SINKS, published=True) == ()
    assert run_imbalances(BALANCED, records=10) == ()


def test_sinks_are_left_out_before_publishing() -> None:
    before = tuple(tally for tally in BALANCED if tally.node not in SINKS)
    assert imbalances(before, sinks=SINKS, published=False) == ()
    assert imbalances(before, sinks=SINKS, published=True) != ()


@pytest.mark.parametrize("index", range(len(BALANCED)))
def test_any_missing_tally_is_found(index: int) -> None:
    tallies = without(index)
    problems = imbalances(tallies, sinks=SINKS, published=True) + run_imbalances(tallies, records=10)
    assert BALANCED[index].node in {problem.node for problem in problems} | {"run"}
    assert problems


def test_a_record_without_a_token_is_found() -> None:
    (problem,) = run_imbalances(BALANCED, records=11)
    assert problem.node == "source"
    assert "11 records were read, 10 became tokens" in problem.detail


def test_counts_are_those_of_the_ended_tallies() -> None:
    counts = counts_of_run(BALANCED, records=10)
    assert (counts.rows_in, counts.succeeded, counts.failed, counts.quarantined) == (10, 6, 0, 4)
    assert counts.outcomes == {"quarantined": 4, "routed": 6}
    assert counts_of_sink(BALANCED, "bad", records=10).outcomes == {"quarantined": 3}

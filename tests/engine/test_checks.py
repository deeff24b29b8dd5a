"""What an acceptance covers: the checks that it was given for, as long as they find nothing worse."""

import pytest

from elspeth_dagster.engine.checks import Acceptance, CheckResult, Verdict

WORD = Acceptance("R. Vogel", "the supplier knows")


def result(figure, *, check="max_failed", accepted=None, passed=False):
    return CheckResult(check, figure, 5, "error", blocking=True, passed=passed, accepted=accepted)


@pytest.mark.parametrize(
    ("now", "before", "accepted"),
    [
        (result(9), result(9, accepted=WORD), True),
        (result(7), result(9, accepted=WORD), True),
        (result(10), result(9, accepted=WORD), False),
        (result(4, passed=True), result(9, accepted=WORD), False),
        (result(9), result(3, passed=True), False),
        (result(9), None, False),
        (result(2, check="min_rows"), result(2, check="min_rows", accepted=WORD), True),
        (result(1, check="min_rows"), result(2, check="min_rows", accepted=WORD), False),
    ],
)
def test_an_acceptance_goes_as_far_as_what_was_there_to_see(now, before, accepted):
    assert (now.accepted_as(before).accepted == WORD) is accepted


def test_a_verdict_comes_back_as_it_was_recorded():
    verdict = Verdict(12, (result(9, accepted=WORD), result(3, passed=True)))
    assert Verdict.of_facts(verdict.facts()) == verdict
    assert "accepted" not in verdict.facts()["checks"][1]
    assert verdict.held_back_by == ()
    assert Verdict(12, (result(9),)).held_back_by == (result(9),)

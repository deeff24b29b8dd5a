import pyarrow as pa

from elspeth_dagster.accounting import Measure, Tally, tally_publish

WORD = pa.dictionary(pa.int32(), pa.string())


def refused(*rows):
    edge, outcome, to = ([row[i] for row in rows] for i in range(3))
    columns = {"edge": edge, "outcome": outcome, "to": to}
    return pa.table({name: pa.array(values, WORD) for name, values in columns.items()})


def test_delivered_rows_keep_the_outcome_of_their_last_edge():
    found = tally_publish("out", arrived={"completed": 3, "routed": 2, "quarantined": 0}, refused=refused())
    assert set(found) == {
        Tally("out", Measure.IN, "", "", 5),
        Tally("out", Measure.ENDED, "completed", "out", 3),
        Tally("out", Measure.ENDED, "routed", "out", 2),
    }


def test_refused_rows_leave_or_end_where_they_were_refused():
    found = tally_publish(
        "out",
        arrived={"completed": 3, "routed": 2},
        refused=refused(
            ("completed", "quarantined", "spare"),
            ("routed", "quarantined", "spare"),
            ("routed", "failed", None),
            ("completed", "quarantined", None),
        ),
    )
    assert set(found) == {
        Tally("out", Measure.IN, "", "", 5),
        Tally("out", Measure.ENDED, "completed", "out", 1),
        Tally("out", Measure.OUT, "on_write_failure", "spare", 2),
        Tally("out", Measure.ENDED, "failed", "", 1),
        Tally("out", Measure.ENDED, "quarantined", "", 1),
    }


def test_nothing_arrived():
    assert tally_publish("out", arrived={}, refused=refused()) == ()

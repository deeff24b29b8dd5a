from transforming import applied, made, rows_of

from elspeth_dagster.plugins.transforms.passthrough import Passthrough

FIXED = {"mode": "fixed", "fields": ["id: int", "score: float?", "any: any?"]}


def test_hands_rows_on_as_they_are():
    given_rows = rows_of([{"a": 1}, {"b": [None]}])
    assert made(Passthrough, FIXED).apply(given_rows).rows is given_rows
    assert made(Passthrough, validate_input=True).apply(given_rows).rows is given_rows


def test_validate_input_coerces_nothing():
    given_rows = [
        {"id": 1},
        {"id": 1, "score": 2, "any": {"k": [1]}},
        {"id": 1, "score": None},
        {"id": "1"},
        {"id": None},
        {"id": 1.0},
        {"id": 1, "score": "2"},
        {"id": 1, "extra": 1},
        {"score": 1.5},
        {"id": 2**80},
    ]
    found = applied(made(Passthrough, FIXED, validate_input=True), given_rows)
    assert [row.get("reason") for row in found] == [None] * 3 + ["wrong_type"] * 4 + [
        "unknown_field",
        "missing_field",
        None,
    ]
    assert found[6] == {"reason": "wrong_type", "field": "score", "expected": "float", "found": "text"} | {
        "found": found[6]["found"]
    }


def test_a_flexible_schema_lets_other_fields_be():
    flexible = {"mode": "flexible", "fields": ["id: int"]}
    assert applied(made(Passthrough, flexible, validate_input=True), [{"id": 1, "x": "y"}]) == [
        {"id": 1, "x": "y"}
    ]

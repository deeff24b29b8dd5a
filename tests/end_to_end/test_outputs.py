"""Output bytes, held against what Python's own csv and json modules make of the same values."""

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from platforms import Platform

FIELDS = ("id", "amount", "note", "ok")
NOTES = (
    "",
    " ",
    "plain",
    "a,b",
    'say "yes"',
    "two\nlines",
    "cr\rhere",
    "crlf\r\nend",
    "naïve ☃ 😀",
    "'",
    "=1+1",
    "\\",
)
AMOUNTS = (
    "0.1",
    "1e16",
    "1e15",
    "123456789.125",
    "1e-5",
    "0.0001",
    "-0.0",
    "5e-324",
    "1.7976931348623157e308",
    "3",
)
CHUNKS = (1, 7, 1000, None)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def jsonl_bytes(rows: Iterable[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def orders(count: int) -> list[dict[str, str]]:
    """Text cells; every ninth order has an amount that is no number."""
    draw = random.Random(20)
    return [
        {
            "id": str(draw.choice((number, number * 10**30))),
            "amount": "much" if number % 9 == 4 else draw.choice(AMOUNTS),
            "note": draw.choice(NOTES),
            "ok": draw.choice(("true", "false", "")),
        }
        for number in range(count)
    ]


def typed(order: dict[str, str]) -> dict[str, Any]:
    ok = {"true": True, "false": False, "": None}[order["ok"]]
    return {"id": int(order["id"]), "amount": float(order["amount"]), "note": order["note"], "ok": ok}


def order_settings(chunk: int | None, shards: int = 1) -> dict[str, Any]:
    """A gate sends orders to a CSV and a JSONL sink; a third takes those that came by a route or by error."""
    checkpoint = {"checkpoint": {"frequency": "every_n", "checkpoint_interval": chunk}} if chunk else {}
    return {
        "source": {
            "plugin": "csv",
            "on_success": "orders",
            "options": {
                "path": "orders.csv",
                "on_validation_failure": "mixed",
                "schema": {"mode": "fixed", "fields": ["id: int", "amount: float", "note: str", "ok: bool?"]},
            },
        },
        "gates": [
            {
                "name": "size",
                "input": "orders",
                "condition": "'small' if row['amount'] < 1 else 'mixed' if row['ok'] is None else 'large'",
                "routes": {"small": "small", "large": "large", "mixed": "mixed"},
            }
        ],
        "sinks": {
            "small": {"plugin": "csv", "options": {"path": "output/small.csv"}},
            "large": {"plugin": "json", "options": {"path": "output/large.jsonl"}},
            "mixed": {"plugin": "json", "options": {"path": "output/mixed.json", "indent": 2}},
        },
        "dagster": {"shards": shards},
    } | checkpoint


def expected_outputs(given: list[dict[str, str]]) -> dict[str, bytes]:
    small, large, mixed = [], [], []
    for order in given:
        if order["amount"] == "much":
            mixed.append(order)
            continue
        row = typed(order)
        (small if row["amount"] < 1 else mixed if row["ok"] is None else large).append(row)
    return {
        "small.csv": csv_bytes(FIELDS, [list(row.values()) for row in small]),
        "large.jsonl": jsonl_bytes(large),
        "mixed.json": json.dumps(mixed, indent=2).encode(),
    }


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: f"chunk_{chunk or 'all'}")
def test_csv_and_json_bytes_are_pythons_own_in_source_order_for_every_chunk_size(
    platform: Platform, chunk: int | None
) -> None:
    given = orders(40)
    platform.write("orders.csv", csv_bytes(FIELDS, [list(order.values()) for order in given]))

    facts = platform.completed(platform.pipeline("orders", order_settings(chunk)))

    assert platform.outputs() == expected_outputs(given)
    unreadable = sum(order["amount"] == "much" for order in given)
    assert facts["outcomes"] == {"quarantined": unreadable, "routed": len(given) - unreadable}
    assert len(platform.sql("SELECT * FROM chunks")) == (len(given) if chunk == 1 else 6 if chunk == 7 else 1)


@pytest.mark.dagster_process
def test_three_shards_in_processes_of_their_own_write_the_same_bytes(platform: Platform) -> None:
    given = orders(40)
    platform.write("orders.csv", csv_bytes(FIELDS, [list(order.values()) for order in given]))

    facts = platform.completed(platform.pipeline("orders", order_settings(7, shards=3)), process=True)

    assert platform.outputs() == expected_outputs(given)
    assert facts["rows_in"] == 40
    steps = platform.sql("SELECT DISTINCT node FROM phases WHERE node LIKE 'process%' ORDER BY node")
    assert [row["node"] for row in steps] == ["process_0_0", "process_0_1", "process_0_2"]


RAGGED = (
    {"id": 1, "name": "first", "score": 1.5},
    {"name": "keys in another order", "id": 2},
    {"id": 3, "score": None, "tags": ["a", {"deep": [1, 2.0, None, True]}]},
    {"id": -(2**63) - 1, "name": "ünï ☃ 😀 \u2028 \x00 \x7f", "score": 1e22},
    {"id": 2**200, "score": -0.0, "extra": {"z": 1, "a": {"$elspeth": "mine"}}},
    {},
    {"id": 7, "name": "", "flag": False},
)


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: f"chunk_{chunk or 'all'}")
def test_ragged_json_rows_come_out_as_they_went_in(platform: Platform, chunk: int | None) -> None:
    platform.write("rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RAGGED))
    checkpoint = {"checkpoint": {"frequency": "every_n", "checkpoint_interval": chunk}} if chunk else {}
    settings = platform.pipeline(
        "ragged",
        checkpoint
        | {
            "source": {"plugin": "json", "on_success": "rows",
                       "options": {"path": "rows.jsonl", "on_validation_failure": "discard",
                                   "schema": {"mode": "observed"}}},
            "gates": [{"name": "parity", "input": "rows", "condition": "row.get('id', 0) % 2 == 0",
                       "routes": {"true": "even", "false": "odd"}}],
            "sinks": {"even": {"plugin": "csv", "options": {"path": "output/even.csv"}},
                      "odd": {"plugin": "json", "options": {"path": "output/odd.jsonl"}}},
        },
    )  # fmt: skip

    facts = platform.completed(settings)

    even = [row for row in RAGGED if row.get("id", 0) % 2 == 0]
    odd = [row for row in RAGGED if row.get("id", 0) % 2]
    names = list(dict.fromkeys(name for row in even for name in row))
    cells = [
        [json.dumps(row[name]) if isinstance(row.get(name), dict | list) else row.get(name) for name in names]
        for row in even
    ]
    assert platform.outputs() == {"even.csv": csv_bytes(names, cells), "odd.jsonl": jsonl_bytes(odd)}
    assert facts["succeeded"] == len(RAGGED)


def test_one_csv_column_of_empty_cells_is_quoted_as_python_quotes_it(platform: Platform) -> None:
    platform.write("rows.jsonl", '{"only": "x"}\n{"only": null}\n{"only": ""}\n')
    settings = platform.pipeline("narrow", {
        "source": {"plugin": "json", "on_success": "out",
                   "options": {"path": "rows.jsonl", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "sinks": {"out": {"plugin": "csv", "options": {"path": "output/narrow.csv"}}},
    })  # fmt: skip

    platform.completed(settings)

    assert platform.read("output/narrow.csv") == csv_bytes(["only"], [["x"], [None], [""]])


def test_a_json_array_without_indent_is_what_json_dumps_gives(platform: Platform) -> None:
    rows = [{"a": 1, "b": "é"}, {"a": 2.5, "b": None}]
    platform.write("rows.json", json.dumps({"items": rows}))
    settings = platform.pipeline("array", {
        "source": {"plugin": "json", "on_success": "out",
                   "options": {"path": "rows.json", "data_key": "items", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "sinks": {"out": {"plugin": "json", "options": {"path": "output/array.json"}}},
    })  # fmt: skip

    platform.completed(settings)

    assert platform.read("output/array.json") == json.dumps(rows).encode()


def test_the_same_input_gives_the_same_record_digests_in_every_run(platform: Platform) -> None:
    given = orders(12)
    platform.write("orders.csv", csv_bytes(FIELDS, [list(order.values()) for order in given]))
    settings = platform.pipeline("orders", order_settings(7))

    first, second = platform.completed(settings), platform.completed(settings)

    assert first["run_id"] != second["run_id"]
    assert first["sinks"] == second["sinks"]
    hashes = [
        platform.sql(f"SELECT token, version, hash FROM versions WHERE run_id = '{run_id}' ORDER BY ALL")
        for run_id in (first["run_id"], second["run_id"])
    ]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == len(given)


def test_rows_that_a_sink_refuses_take_their_on_write_failure(platform: Platform) -> None:
    rows = [{"id": 1, "v": 1}, {"id": 2}, {"id": 3, "v": "text"}, {"id": 4, "v": 2}]
    platform.write("rows.jsonl", jsonl_bytes(rows))
    settings = platform.pipeline("refused", {
        "source": {"plugin": "json", "on_success": "typed",
                   "options": {"path": "rows.jsonl", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "gates": [],
        "sinks": {
            "typed": {"plugin": "csv", "on_write_failure": "refused",
                      "options": {"path": "output/typed.csv",
                                  "schema": {"mode": "fixed", "fields": ["id: int", "v: any"]}}},
            "refused": {"plugin": "json", "options": {"path": "output/refused.jsonl"}},
        },
    })  # fmt: skip

    facts = platform.completed(settings)

    assert platform.read("output/typed.csv") == csv_bytes(["id", "v"], [[1, 1], [4, 2]])
    (diverted,) = [json.loads(line) for line in platform.read("output/refused.jsonl").splitlines()]
    assert diverted["id"] == 2
    assert diverted["__diverted_from"] == "typed"
    assert "v" in diverted["__diversion_reason"]
    assert facts["outcomes"] == {"completed": 2, "quarantined": 2} == platform.outcomes(facts["run_id"])


def test_a_refused_row_without_a_place_to_go_ends_failed_and_the_run_completes(platform: Platform) -> None:
    platform.write("rows.jsonl", jsonl_bytes([{"id": 1, "v": 1}, {"id": 2}, {"id": 3, "v": 3}]))
    settings = platform.pipeline("refused", {
        "source": {"plugin": "json", "on_success": "typed",
                   "options": {"path": "rows.jsonl", "on_validation_failure": "discard"}},
        "sinks": {"typed": {"plugin": "csv", "options": {
            "path": "output/typed.csv", "schema": {"mode": "fixed", "fields": ["id: int", "v: int"]}}}},
    })  # fmt: skip

    facts = platform.completed(settings)

    assert platform.read("output/typed.csv") == csv_bytes(["id", "v"], [[1, 1], [3, 3]])
    assert (facts["succeeded"], facts["failed"], facts["quarantined"]) == (2, 1, 0)
    assert platform.outcomes(facts["run_id"]) == {"completed": 2, "failed": 1}

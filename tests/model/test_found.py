"""Every disagreement between engine and model that was ever found, as small as it could be made."""

from collections.abc import Iterator
from typing import Any

import pytest

from elspeth_dagster.settings.errors import SettingsError
from model.compare import agree
from model.engine import Workshop, workshop

CUTS = pytest.mark.parametrize("chunk_rows", [1, 2, None])


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


def source(kind: str, to: str, **options: Any) -> dict[str, Any]:
    plugin = "csv" if kind == "csv" else "json"
    options = {"path": f"in.{kind}", "on_validation_failure": "discard", **options}
    return {"plugin": plugin, "on_success": to, "options": options}


def sink(name: str, kind: str = "jsonl", failures: str | None = None, **options: Any) -> dict[str, Any]:
    plugin = "json" if kind == "jsonl" else kind
    made = {"plugin": plugin, "options": {"path": f"out/{name}.{kind}", **options}}
    return made if failures is None else {**made, "on_write_failure": failures}


@CUTS
def test_the_field_named_as_inexpressible_is_the_rows_first(shop: Workshop, chunk_rows: int | None) -> None:
    sinks = {"out": sink("out", "csv", "bad", encoding="latin-1"), "bad": sink("bad")}
    data = '{"a": "é", "b": "€"}\n{"b": "€", "a": "€"}\n{"a": "€", "b": "€"}\n'
    agree(shop, {"source": source("jsonl", "out"), "sinks": sinks}, data.encode(), chunk_rows=chunk_rows)


def test_a_delimiter_that_the_encoding_lacks_is_a_load_error(shop: Workshop) -> None:
    sinks = {"out": sink("out", "csv", delimiter="é", encoding="ascii")}
    with pytest.raises(SettingsError, match="ascii has no way to write 'é'"):
        agree(shop, {"source": source("jsonl", "out"), "sinks": sinks}, b"")


@CUTS
def test_fields_of_several_origins_in_one_column(shop: Workshop, chunk_rows: int | None) -> None:
    def mapper(name: str, connection: str, field: str) -> dict[str, Any]:
        options = {"mapping": {field: "x"}, "select_only": True}
        return {
            "name": name, "plugin": "field_mapper", "input": connection, "on_success": "out",
            "on_error": "discard", "options": options,
        }  # fmt: skip

    routes = {"true": "l", "false": "r"}
    gate = {"name": "g", "input": "all", "condition": "row['a'] == '1'", "routes": routes}
    settings = {
        "source": source("csv", "all"),
        "gates": [gate],
        "transforms": [mapper("left", "l", "b"), mapper("right", "r", "a")],
        "sinks": {"out": sink("out", "csv", headers="original")},
    }
    agree(shop, settings, b"A,B\n1,x\n2,y\n1,z\n", chunk_rows=chunk_rows)


@CUTS
def test_a_declared_column_whose_original_header_cannot_be_written(
    shop: Workshop, chunk_rows: int | None
) -> None:
    mapper = {
        "name": "m", "plugin": "field_mapper", "input": "all", "on_success": "out", "on_error": "discard",
        "options": {"mapping": {"größe": "size"}},
    }  # fmt: skip
    schema = {"mode": "flexible", "fields": ["size: str", "b: str"]}
    sinks = {
        "out": sink("out", "csv", "bad", headers="original", encoding="ascii", schema=schema),
        "bad": sink("bad"),
    }
    settings = {"source": source("csv", "all"), "transforms": [mapper], "sinks": sinks}
    model = agree(shop, settings, "Größe,B\n1,2\n".encode(), chunk_rows=chunk_rows)
    assert model is not None
    assert model.sinks["out"].content == b"B\r\n"
    assert b"encoding: field size" in model.sinks["bad"].content


@CUTS
@pytest.mark.parametrize("data", [b"User ID,Amount (USD)\n1,9\n2,8\n", b"User ID,Amount (USD)\nbroken\n"])
def test_a_sink_without_rows_has_the_original_headers_too(
    shop: Workshop, data: bytes, chunk_rows: int | None
) -> None:
    schema = {"mode": "fixed", "fields": ["user_id: str", "amount_usd: str", "made: str?"]}
    gate = {
        "name": "g",
        "input": "all",
        "condition": "row['user_id'] == ''",
        "routes": {"true": "low", "false": "high"},
    }
    sinks = {
        "low": sink("low", "csv", headers="original", schema=schema),
        "high": sink("high", "csv", headers="original", schema=schema),
    }
    model = agree(
        shop, {"source": source("csv", "all"), "gates": [gate], "sinks": sinks}, data, chunk_rows=chunk_rows
    )
    assert model is not None
    assert model.sinks["low"].content == b"User ID,Amount (USD),made\r\n"


@CUTS
def test_a_field_made_on_the_way_has_no_original_header(shop: Workshop, chunk_rows: int | None) -> None:
    mapper = {
        "name": "m", "plugin": "field_mapper", "input": "all", "on_success": "out", "on_error": "discard",
        "options": {"mapping": {"user_id": "id"}},
    }  # fmt: skip
    schema = {"mode": "flexible", "fields": ["user_id: str?", "id: str", "n: str"]}
    settings = {
        "source": source("csv", "all"),
        "transforms": [mapper],
        "sinks": {"out": sink("out", "csv", headers="original", schema=schema)},
    }
    model = agree(shop, settings, b"User ID,N\n1,2\n", chunk_rows=chunk_rows)
    assert model is not None
    assert model.sinks["out"].content == b"user_id,User ID,N\r\n,1,2\r\n"


@CUTS
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_renamed_field_and_one_that_was_not_come_to_one_sink(
    shop: Workshop, kind: str, chunk_rows: int | None
) -> None:
    mapper = {
        "name": "m", "plugin": "field_mapper", "input": "all", "on_success": "named", "on_error": "q",
        "options": {"mapping": {"user_id": "id"}},
    }  # fmt: skip
    words = {
        "name": "k", "plugin": "keyword_filter", "input": "named", "on_success": "out", "on_error": "q",
        "options": {"fields": ["n"], "blocked_patterns": ["bad"]},
    }  # fmt: skip
    schema = {"mode": "fixed", "fields": ["user_id: int", "n: str"]}
    settings = {
        "source": source("csv", "all", on_validation_failure="q", schema=schema),
        "transforms": [mapper, words],
        "sinks": {"out": sink("out"), "q": sink("q", kind, headers="original")},
    }
    data = b"User ID,N\n1,bad\nx,2\ny,3\n4,bad\n5,good\n"
    model = agree(shop, settings, data, chunk_rows=chunk_rows)
    assert model is not None
    assert model.sinks["q"].rows == 4


@CUTS
@pytest.mark.parametrize("data", [b"a,n\n1,2\n3,4\n", b'a,n\n1,2\n3\n"x,1\n'])
def test_rows_without_fields_are_not_lost_in_a_table_without_columns(
    shop: Workshop, data: bytes, chunk_rows: int | None
) -> None:
    mapper = {
        "name": "m", "plugin": "field_mapper", "input": "all", "on_success": "out", "on_error": "discard",
        "options": {"mapping": {"gone": "x"}, "select_only": True},
    }  # fmt: skip
    settings = {
        "source": source("csv", "all"),
        "transforms": [mapper],
        "sinks": {"out": sink("out", "parquet", "bad"), "bad": sink("bad")},
    }
    model = agree(shop, settings, data, chunk_rows=chunk_rows)
    assert model is not None
    assert model.sinks["out"].rows == 0
    assert b"no_columns" in model.sinks["bad"].content
    with_columns = {
        **settings,
        "sinks": {"out": sink("out", "parquet", schema={"mode": "flexible", "fields": ["y: int?"]})},
    }
    model = agree(shop, with_columns, data, chunk_rows=chunk_rows)
    assert model is not None
    assert model.sinks["out"].rows > 0


@CUTS
def test_a_dot_is_a_path_even_where_a_field_has_that_name(shop: Workshop, chunk_rows: int | None) -> None:
    def mapper(name: str, connection: str, to: str, mapping: dict[str, str]) -> dict[str, Any]:
        return {
            "name": name, "plugin": "field_mapper", "input": connection, "on_success": to, "on_error": "bad",
            "options": {"mapping": mapping},
        }  # fmt: skip

    transforms = [mapper("one", "all", "dotted", {"b": "n.k"}), mapper("two", "dotted", "out", {"n.k": "x"})]
    settings = {
        "source": source("jsonl", "all"),
        "transforms": transforms,
        "sinks": {"out": sink("out"), "bad": sink("bad")},
    }
    agree(shop, settings, b'{"b": 0}\n{"b": 1, "n": {"k": 2}}\n{"b": 1, "n": 3}\n', chunk_rows=chunk_rows)


@CUTS
def test_a_join_that_lost_every_branch_is_lost_when_the_last_hope_was(
    shop: Workshop, chunk_rows: int | None
) -> None:
    def asking(branch: str, field: str) -> dict[str, Any]:
        return {
            "name": f"ask_{branch}", "plugin": "asking", "input": branch, "on_success": f"{branch}_done",
            "on_error": "discard", "options": {"field": field},
        }  # fmt: skip

    def fork(name: str, connection: str, *branches: str) -> dict[str, Any]:
        return {
            "name": name, "input": connection, "condition": "True", "routes": {"true": "fork"},
            "fork_to": list(branches),
        }  # fmt: skip

    passed_on = {
        "name": "on", "plugin": "passthrough", "input": "inner",
        "on_success": "b_done", "on_error": "discard",
    }  # fmt: skip
    settings = {
        "source": source("jsonl", "all"),
        "gates": [fork("outside", "all", "a", "b"), fork("inside", "b", "c", "d")],
        "transforms": [asking("a", "v"), asking("c", "w"), asking("d", "w"), passed_on],
        "coalesce": [
            {"name": "inner", "branches": {"c": "c_done", "d": "d_done"}},
            {
                "name": "outer", "branches": {"a": "a_done", "b": "b_done"}, "policy": "best_effort",
                "timeout_seconds": 0.000002, "on_success": "out",
            },
        ],
        "sinks": {"out": sink("out")},
    }  # fmt: skip
    data = b'{"id": 1, "v": 3, "w": -5}\n{"id": 2, "v": 3, "w": -5}\n{"id": 3, "v": 0, "w": 0}\n'
    model = agree(shop, settings, data, chunk_rows=chunk_rows)
    assert model is not None
    assert [line.split(b",")[0] for line in model.sinks["out"].content.splitlines()] == [
        b'{"id": 1', b'{"id": 2', b'{"id": 3',
    ]  # fmt: skip

"""The page on the record's format says what the code does."""

import ast
import hashlib
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from markdown_pages import REPOSITORY, Page
from platforms import Platform

from elspeth_dagster.landscape import schema
from elspeth_dagster.landscape.model import RECORD_FORMAT, Phase
from elspeth_dagster.landscape.views import CATALOGUE_TABLES, SEGMENT_COLUMNS, VIEWS
from elspeth_dagster.rows.canonical import CANONICAL_FORM, canonical_text
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import parse_token_text, root_tokens, token_text

PAGE = Page.read(REPOSITORY / "docs" / "record-format.md")
_WORD = re.compile(r"`([^`]+)`")
_NAMES = {"Decimal": Decimal, "date": date, "datetime": datetime, "UTC": UTC}


def under(title: str) -> str:
    """What stands under a heading, up to the next one."""
    text = re.split(rf"^#+ {re.escape(title)}$", PAGE.content, maxsplit=1, flags=re.MULTILINE)[1]
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table's rows, but for its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def table_of(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose head begins so."""
    return rows_of(text[text.index(f"| {head} |") :].split("\n\n", maxsplit=1)[0])


def pairs(text: str, head: str) -> list[tuple[str, str]]:
    """Both columns of the table whose head begins so, without backticks."""
    return [(left.strip("`"), right.strip(" `")) for left, right in table_of(text, head)]


def named(title: str) -> set[str]:
    """The columns that a section names."""
    return {name for row in rows_of(under(title)) for name in _WORD.findall(row[0])}


@pytest.mark.parametrize("table", CATALOGUE_TABLES)
def test_columns_of_the_catalogue(table: str) -> None:
    assert named(table) == {column.name for column in schema.metadata.tables[table].c}


@pytest.mark.parametrize("table", SEGMENT_COLUMNS)
def test_columns_of_segments(table: str) -> None:
    assert named(f"segment {table}") == set(SEGMENT_COLUMNS[table])


def test_columns_of_views(platform: Platform) -> None:
    platform.write("in.csv", "id\n1\n")
    source = {"plugin": "csv", "on_success": "out",
              "options": {"path": "in.csv", "on_validation_failure": "discard"}}  # fmt: skip
    sinks = {"out": {"plugin": "csv", "options": {"path": "out.csv"}}}
    platform.completed(platform.pipeline("small", {"source": source, "sinks": sinks}))
    told = {row[0].strip("`"): _WORD.findall(row[1]) for row in table_of(under("Views"), "view")}
    assert set(told) == set(VIEWS)
    for view, columns in told.items():
        seen = [row["column_name"] for row in platform.sql(f"DESCRIBE {view}")]
        assert [column for column in seen if not column.startswith("c:")] == columns, view


def test_names_and_numbers() -> None:
    assert f"`{RECORD_FORMAT}`" in PAGE.content
    assert f"`{CANONICAL_FORM}`" in PAGE.content
    told = {row[0]: int(row[1]) for row in table_of(PAGE.content, "phase")}
    assert {phase.name: phase.value for phase in Phase} == told


def test_canonical_forms() -> None:
    vectors = pairs(under("Canonical form"), "Python value")
    assert len(vectors) > 15
    for source, canonical in vectors:
        value = eval(compile(ast.parse(source, mode="eval"), "page", "eval"), dict(_NAMES))
        assert canonical_text(value) == canonical, source
        assert Rows.from_dicts(root_tokens(0, 1), [{"v": value}]).hashes[0].as_py() == _hash({"v": value})


def _hash(row: dict[str, object]) -> bytes:
    return hashlib.sha256(canonical_text(row).encode()).digest()


def test_row_hash() -> None:
    ((source, digest),) = pairs(under("Canonical form"), "row")
    row = ast.literal_eval(source)
    assert Rows.from_dicts(root_tokens(0, 1), [row]).hashes[0].as_py().hex() == digest
    assert _hash(row).hex() == digest


def test_tokens() -> None:
    told = pairs(under("Tokens"), "token")
    assert len(told) == 3
    for token, shown in told:
        assert token_text(bytes.fromhex(token)) == shown
        assert parse_token_text(shown).hex() == token

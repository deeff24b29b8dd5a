"""Reading back what a sink published, for those who take a sink's rows as a frame."""

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.sinks.databases.url import DatabaseUrl
from elspeth_dagster.rows.values import build_column, parse_json

if TYPE_CHECKING:
    import pandas as pd

_TABLE = re.compile(r"db://(?P<table>.*?)@(?P<url>[a-z0-9+]+://.*)", re.DOTALL)
_MAX_CELL_CHARACTERS = 64 << 20
_CSV_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


class UnreadableArtifactError(ElspethError):
    """An artifact that cannot be given as a frame."""

    def __init__(self, kind: str, path: str, why: str) -> None:
        super().__init__(f"{path} ({kind}) cannot be read as a frame: {why}")


def read_artifact(kind: str, path: str | Path, facts: Mapping[str, Any] | None = None) -> "pd.DataFrame":
    """The rows of a published file, with Arrow types.

    A cell of a CSV file is what it was as a row's value where `facts` says so, else text; an empty one is
    null. A column of mixed JSON values has Python objects.

    Args:
        kind: The artifact's kind: `csv`, `json`, `jsonl`, `parquet` or `database`.
        path: The file; for a table `db://TABLE@URL`, with whatever password the URL needs.
        facts: The artifact's facts, which know encoding, delimiter and types.

    Raises:
        UnreadableArtifactError: No such file or table, or no reader for its kind.
    """
    if kind == "database":
        return _read_database(str(path), facts or {})
    reader = _READERS.get(kind)
    if reader is None:
        known = ", ".join([*_READERS, "database"])
        raise UnreadableArtifactError(kind, str(path), f"there are readers for {known}")
    try:
        return reader(Path(path), facts or {})
    except FileNotFoundError as error:
        raise UnreadableArtifactError(kind, str(path), "there is no such file") from error


def _frame(table: pa.Table) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - takes half a second, and only this needs it

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _read_csv(path: Path, facts: Mapping[str, Any]) -> "pd.DataFrame":
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    with path.open(encoding=facts.get("encoding", "utf-8"), newline="") as file:
        lines = csv.reader(file, delimiter=facts.get("delimiter", ","))
        header = next(lines, [])
        rows = list(lines)
    types = dict(zip(facts.get("header", ()), facts.get("types", ()), strict=False))
    columns = {}
    for index, name in enumerate(header):
        texts = pa.array([row[index] or None for row in rows], pa.string())
        columns[name] = texts.cast(_CSV_TYPES.get(types.get(name, ""), pa.string()))
    return _frame(pa.table(columns))


def _read_json(path: Path, facts: Mapping[str, Any]) -> "pd.DataFrame":
    return _frame_of(parse_json(path.read_text(encoding=facts.get("encoding", "utf-8"))))


def _read_jsonl(path: Path, facts: Mapping[str, Any]) -> "pd.DataFrame":
    text = path.read_text(encoding=facts.get("encoding", "utf-8"))
    return _frame_of([parse_json(line) for line in text.split("\n") if line])


def _frame_of(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """A frame of ragged rows: a key that a row lacks is null."""
    import pandas as pd  # noqa: PLC0415 - takes half a second, and only this needs it

    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        array, is_json = build_column(values)
        columns[name] = (
            pd.Series(values, dtype=object) if is_json else _frame(pa.table([array], [name]))[name]
        )
    return pd.DataFrame(columns, index=range(len(rows)))


def _read_parquet(path: Path, _facts: Mapping[str, Any]) -> "pd.DataFrame":
    import pyarrow.parquet as pq  # noqa: PLC0415 - only this needs it

    return _frame(pq.read_table(path))


def _read_database(place: str, facts: Mapping[str, Any]) -> "pd.DataFrame":
    from elspeth_dagster.plugins.sinks.databases.reading import read_table  # noqa: PLC0415 - loads SQLAlchemy

    match = _TABLE.fullmatch(place)
    if match is None:
        raise UnreadableArtifactError("database", "the table", "its place is not db://TABLE@URL")
    table = match["table"]
    types = dict(zip(facts.get("header", ()), facts.get("types", ()), strict=True))
    try:
        return _frame(read_table(DatabaseUrl.parse(match["url"]), table, types))
    except ElspethError as error:
        raise UnreadableArtifactError("database", f"the table {table}", str(error)) from error


_READERS: dict[str, Callable[[Path, Mapping[str, Any]], "pd.DataFrame"]] = {
    "csv": _read_csv,
    "json": _read_json,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}

"""Read-only SQL over the record: catalogue tables, and views over committed segments."""

import json
import re
from collections.abc import Iterable, Iterator
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem
from sqlalchemy import JSON, Integer, Text, cast, select

from elspeth_dagster.landscape import schema
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import DamagedRecordError, QueryError
from elspeth_dagster.landscape.views import CATALOGUE_TABLES, MACROS, RECORDS, SEGMENT_COLUMNS, VIEWS

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as ds

# What the views stand on is named so.
_SEGMENTS = "segment "
_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
# They run SQL that stands in a text, in which the tables that it reads cannot be seen.
_SQL_IN_TEXT = frozenset({"query", "query_table"})
_AT_WORD = re.compile(r'syntax error at or near "(\w+)"')
# So begins the name of a column of `records` that holds cells.
_CELL = "c:"
_COLUMNS = frozenset[str]().union(*SEGMENT_COLUMNS.values())


def query(landscape: Landscape, sql: str, *, run_id: str | None = None) -> pa.Table:
    """The answer to one SELECT.

    Tables are those of the catalogue, and `records`, `tokens`, `versions`, `states`, `errors`, `refusals` and
    `outcomes`, which show what is committed. Only tables that the query names are touched, and of segments
    only the columns that it reads.

    Args:
        landscape: The landscape.
        sql: One SELECT in DuckDB's SQL.
        run_id: Shows only this run.

    Raises:
        QueryError: It is something else than one SELECT, or DuckDB refuses it.
        DamagedRecordError: A segment that it reads is missing or has another size than was committed.
    """
    # Loading DuckDB costs more than all the rest of the landscape, and nothing else needs it.
    import duckdb  # noqa: PLC0415

    with (
        TemporaryDirectory(prefix="elspeth-query-") as spill,
        duckdb.connect(config=_config(spill)) as connection,
    ):
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            named = _tables_named(connection, sql)
            _register(connection, landscape, named, run_id)
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(f"{error}{_hint(str(error), sql)}") from error


def _hint(message: str, sql: str) -> str:
    """What to write where a column bears the name of an SQL word."""
    found = _AT_WORD.search(message)
    if found is None:
        return ""
    word = found[1]
    is_cell = f"{_CELL}{word}" in sql
    return f'\nquote it: "{_CELL if is_cell else ""}{word}"' if is_cell or word.lower() in _COLUMNS else ""


def _config(spill: str) -> dict[str, str | bool | int | float | list[str]]:
    """Settings under which SQL reaches nothing but what it is given; large sorts spill to a folder."""
    return {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": spill,
    }


def _tables_named(connection: "duckdb.DuckDBPyConnection", sql: str) -> set[str]:
    """The names of all tables that one SELECT reads; refuses everything that is not one SELECT."""
    import duckdb  # noqa: PLC0415 - see `query`

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryError(f"one SELECT is taken here, and this is: {kinds}")
    ((serialized,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    try:
        parsed = json.loads(serialized)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply") from error
    if parsed["error"]:
        raise QueryError(f"one SELECT is taken here: {parsed['error_message']}")
    return set(_inspect(parsed["statements"]))


def _inspect(tree: Any) -> Iterator[str]:
    """The table names in a syntax tree. A SELECT may hold what is none: `WITH x AS (COPY …)`."""
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            kind = str(item.get("type", ""))
            if kind.endswith("_NODE") and kind not in _QUERY_NODES:
                raise QueryError(f"one SELECT is taken here, and this holds a {kind.partition('_')[0]}")
            if item.get("function_name") in _SQL_IN_TEXT:
                raise QueryError(f"the function {item['function_name']} is not available here")
            if kind == "BASE_TABLE":
                yield str(item["table_name"]).lower()
            pending += item.values()


def _register(
    connection: "duckdb.DuckDBPyConnection", landscape: Landscape, named: set[str], run_id: str | None
) -> None:
    """Makes every table and view known, and fills those that are named and those under a view that is."""
    filled = {name.removeprefix(_SEGMENTS) for name in named}.union(
        *(VIEWS[name][0] for name in named if name in VIEWS)
    )
    for name in CATALOGUE_TABLES:
        connection.register(name, _catalogue_table(landscape, name, run_id, filled=name in filled))
    for name in SEGMENT_COLUMNS:
        files = _segment_files(landscape, name, run_id) if name in filled else []
        connection.register(f"{_SEGMENTS}{name}", _dataset(landscape, name, files))
    for macro in MACROS:
        connection.execute(f"CREATE TEMP MACRO {macro}")
    for name, (_, definition) in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {definition}")


def _catalogue_table(landscape: Landscape, name: str, run_id: str | None, *, filled: bool) -> pa.Table:
    table = schema.metadata.tables[name]
    fields = pa.schema([(column.name, _arrow_type(column.type)) for column in table.c])
    if not filled:
        return fields.empty_table()
    columns = [cast(c, Text).label(c.name) if isinstance(c.type, JSON) else c for c in table.c]
    wanted = select(*columns).order_by(*table.primary_key.columns)
    if run_id is not None:
        wanted = wanted.where(table.c.run_id == run_id)
    rows = landscape.ask(lambda connection: connection.execute(wanted).all())
    values = zip(*rows, strict=True) if rows else ([] for _ in fields)
    return pa.table(
        [pa.array(value, field.type) for value, field in zip(values, fields, strict=True)], fields
    )


def _arrow_type(kind: Any) -> pa.DataType:
    if isinstance(kind, schema.UtcTime):
        return pa.timestamp("us", "UTC")
    return pa.int64() if isinstance(kind, Integer) else pa.string()


def _segment_files(landscape: Landscape, table: str, run_id: str | None) -> list[tuple[str, str]]:
    """Run and path of each committed segment of a table, all of them there and of the right size."""
    columns = schema.segments.c
    wanted = select(columns.run_id, columns.path, columns.bytes).where(columns.table_name == table)
    if run_id is not None:
        wanted = wanted.where(columns.run_id == run_id)
    ordered = wanted.order_by(columns.commit_id)
    rows = landscape.ask(lambda connection: connection.execute(ordered).all())
    files = []
    for run, path, size_bytes in rows:
        file = landscape.location.segments / path
        if not file.exists():
            raise DamagedRecordError(file, f"{size_bytes} bytes", "no file")
        found = file.stat().st_size
        if found != size_bytes:
            raise DamagedRecordError(file, f"{size_bytes} bytes", f"{found} bytes")
        files.append((run, path))
    return files


def _dataset(landscape: Landscape, table: str, files: Iterable[tuple[str, str]]) -> "ds.Dataset":
    """Segments as one table with a column `run_id`, by which whole files are passed over."""
    # It loads pandas.
    import pyarrow.dataset as ds  # noqa: PLC0415

    folder = landscape.location.segments
    fields = pa.schema({"run_id": pa.string(), **SEGMENT_COLUMNS[table]})
    parquet, system = ds.ParquetFileFormat(), LocalFileSystem()
    first_of_run: dict[str, str] = {}
    fragments = []
    for run, path in files:
        first_of_run.setdefault(run, path)
        belongs = ds.field("run_id") == run
        fragments.append(parquet.make_fragment(str(folder / path), system, partition_expression=belongs))
    if table == RECORDS:
        # Within a run every chunk has the columns of the first.
        for path in first_of_run.values():
            fields = pa.unify_schemas([fields, _cells(pq.read_schema(folder / path))])
    return ds.FileSystemDataset(fragments, fields, parquet, system)


def _cells(found: pa.Schema) -> pa.Schema:
    names = (name for name in found.names if name not in SEGMENT_COLUMNS[RECORDS])
    return pa.schema([(name, pa.string()) for name in names])

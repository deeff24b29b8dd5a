"""The tables that a query sees: their columns in the segments, and the views over them."""

from collections.abc import Mapping

import pyarrow as pa

from elspeth_dagster.landscape import schema

RECORDS = "records"

# Texts are stored with a dictionary; the reader gives them as plain strings.
_TEXT = pa.string()
SEGMENT_COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    RECORDS: {
        "record": pa.int64(),
        "line": pa.int64(),
        "arrived_us": pa.int64(),
        "raw": pa.binary(),
        "problem": _TEXT,
        "problem_record": _TEXT,
    },
    "tokens": {
        "token": pa.binary(),
        "row": pa.int64(),
        "parents": pa.list_(pa.binary()),
        "created_by": _TEXT,
        "branch": _TEXT,
        "batch": pa.int64(),
    },
    "versions": {"token": pa.binary(), "version": pa.int16(), "hash": pa.binary(32)},
    "states": {
        "token": pa.binary(),
        "node": _TEXT,
        "try": pa.int16(),
        "status": _TEXT,
        "input_version": pa.int16(),
        "output_version": pa.int16(),
        "label": _TEXT,
        "to": _TEXT,
        "mode": _TEXT,
        "reads": _TEXT,
        "outcome": _TEXT,
        "batch": pa.int64(),
    },
    "batches": {
        "batch": pa.int64(),
        "aggregation": _TEXT,
        "first": pa.int64(),
        "members": pa.int64(),
        "trigger": _TEXT,
        "fired_us": pa.int64(),
        "by_member": pa.bool_(),
    },
    "calls": {
        "token": pa.binary(),
        "node": _TEXT,
        "elapsed_us": pa.int64(),
        "failed_tries": pa.list_(pa.string()),
        "error": _TEXT,
    },
    "errors": {
        "token": pa.binary(),
        "row": pa.int64(),
        "node": _TEXT,
        "kind": _TEXT,
        "reason": _TEXT,
    },
    "refusals": {"token": pa.binary(), "node": _TEXT, "reason": _TEXT, "outcome": _TEXT, "to": _TEXT},
}
"""Columns of the segments of each table. Those of `records` are followed by one per header column."""

CATALOGUE_TABLES = tuple(name for name in schema.metadata.tables if not name.startswith("ops_"))
"""The catalogue's tables that belong to the record."""

MACROS = (
    # A token's first 8 bytes are its row's index, and each path element is a kind, a length and an ordinal:
    # rows/tokens.py.
    "row_of(token_bytes) AS CAST(CAST('0x' || hex(token_bytes[1:8]) AS UBIGINT) AS BIGINT)",
    "to_hex(some_bytes) AS lower(hex(some_bytes))",
    """
    token_text(token) AS concat_ws('/', CAST('0x' || token[1:16] AS UBIGINT), list_aggregate(
        list_transform(
            regexp_extract_all(
                token[17:], '..(?:01.{2}|02.{4}|03.{6}|04.{8}|05.{10}|06.{12}|07.{14}|08.{16})'
            ),
            lambda element: ['fork', 'explode', 'merge', 'batch'][CAST('0x' || element[1:2] AS INTEGER)]
                || ':' || CAST(CAST('0x' || element[5:] AS UBIGINT) AS VARCHAR)
        ), 'string_agg', '/'))
    """,
)
"""Functions that a query may call, and the views do. `token_text` shows a token as `42/fork:1`."""

VIEWS: Mapping[str, tuple[tuple[str, ...], str]] = {
    RECORDS: ((RECORDS,), 'SELECT * FROM "segment records"'),
    "tokens": (
        ("tokens",),
        """
        SELECT run_id, to_hex(token) AS token, "row",
               list_transform(parents, lambda parent: to_hex(parent)) AS parents,
               created_by, branch, batch
        FROM "segment tokens"
        """,
    ),
    "versions": (
        ("versions",),
        """
        SELECT run_id, to_hex(token) AS token, row_of(token) AS "row", version,
               to_hex(hash) AS hash
        FROM "segment versions"
        """,
    ),
    "states": (
        ("states", "versions"),
        """
        SELECT s.run_id, to_hex(s.token) AS token, row_of(s.token) AS "row", s.node,
               s."try", s.status, s.input_version, s.output_version,
               to_hex(i.hash) AS input_hash, to_hex(o.hash) AS output_hash,
               s.label, s."to", s.mode, s.reads, s.outcome, s.batch
        FROM "segment states" s
        LEFT JOIN "segment versions" i
          ON i.run_id = s.run_id AND i.token = s.token AND i.version = s.input_version
        LEFT JOIN "segment versions" o
          ON o.run_id = s.run_id AND o.token = s.token AND o.version = s.output_version
        """,
    ),
    "errors": (
        ("errors",),
        """
        SELECT run_id, to_hex(token) AS token, "row", node, kind, reason FROM "segment errors"
        """,
    ),
    "calls": (
        ("calls",),
        """
        SELECT run_id, to_hex(token) AS token, row_of(token) AS "row", node, elapsed_us, failed_tries, error
        FROM "segment calls"
        """,
    ),
    "batches": (("batches",), 'SELECT * FROM "segment batches"'),
    "refusals": (
        ("refusals",),
        """
        SELECT run_id, to_hex(token) AS token, row_of(token) AS "row", node, reason,
               outcome, "to"
        FROM "segment refusals"
        """,
    ),
    "checks": (
        ("markers", "commits"),
        """
        SELECT m.run_id, c.attempt, split_part(m.name, ':', 1) AS moment, found->>'$.check' AS name,
               CAST(found->>'$.figure' AS DOUBLE) AS figure, CAST(found->>'$.limit' AS DOUBLE) AS agreed,
               found->>'$.severity' AS severity, CAST(found->>'$.blocking' AS BOOLEAN) AS blocking,
               CAST(found->>'$.passed' AS BOOLEAN) AS passed,
               found->>'$.accepted.by' AS accepted_by, found->>'$.accepted.reason' AS reason,
               c.committed_at
        FROM markers m JOIN commits c ON c.run_id = m.run_id AND c.commit_id = m.commit_id,
             unnest(CAST(m.facts->'$.checks' AS JSON[])) AS unnested(found)
        WHERE split_part(m.name, ':', 1) IN ('checked', 'held_back', 'final_checks')
        """,
    ),
    "outcomes": (
        ("states", "refusals", "artifacts"),
        # A sink that a refused row goes to may refuse it as well, so the last refusal is the one that counts.
        # What is bound for a sink has its outcome once that sink is published.
        """
        SELECT t.run_id, to_hex(t.token) AS token, t."row",
               CASE WHEN t.sink IS NULL OR a.sink IS NOT NULL THEN t.outcome END AS outcome, t.sink, t.node
        FROM (
            SELECT t.run_id, t.token, row_of(t.token) AS "row",
                   CASE WHEN r.token IS NULL THEN t.outcome ELSE r.outcome END AS outcome,
                   CASE WHEN r.token IS NULL THEN t."to" ELSE r."to" END AS sink,
                   CASE WHEN r.token IS NULL THEN coalesce(t."to", t.node) ELSE r.node END AS node
            FROM (FROM "segment states" WHERE outcome IS NOT NULL) t
            LEFT JOIN (
                SELECT * FROM "segment refusals" f
                WHERE NOT EXISTS (
                    FROM "segment refusals" n
                    WHERE n.run_id = f.run_id AND n.token = f.token AND n.node = f."to"
                )
            ) r ON r.run_id = t.run_id AND r.token = t.token
        ) t
        LEFT JOIN artifacts a ON a.run_id = t.run_id AND a.sink = t.sink
        """,
    ),
}
"""For each view the tables that it stands on, and its SELECT."""

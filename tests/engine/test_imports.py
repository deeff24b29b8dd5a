"""The engine stands alone: it is imported without Dagster, and without what only some tasks need."""

import subprocess
import sys

import pytest

MODULES = (
    "elspeth_dagster.engine.load",
    "elspeth_dagster.engine.process",
    "elspeth_dagster.engine.plan",
    "elspeth_dagster.engine.finish",
    "elspeth_dagster.engine.sinking",
    "elspeth_dagster.plugins",
    "elspeth_dagster.landscape.explain",
)


@pytest.mark.parametrize("module", MODULES)
def test_no_dagster_and_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print([m for m in ('dagster', 'alembic', 'duckdb', 'pandas', 'psycopg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

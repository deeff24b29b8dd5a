"""The engine and the reference model agree on random pipelines over random data.

The normal run tries 150 cases. More, for example 20,000, each other than in any run before:

    ELSPETH_MODEL_EXAMPLES=20000 .venv/bin/python -m pytest tests/model/test_model.py -p no:randomly

A disagreement is printed as a call of `agree`; once it is understood it is kept, small, in `test_found.py`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, note, reject, settings

from elspeth_dagster.settings.errors import SettingsError
from model import batches, boundary, interpreter, joins, nodes, reading, sinks, values, wiring
from model.cases import LOAD_ERRORS_BY_CHANCE, Case, cases
from model.compare import EXAMPLES, FEW, agree
from model.engine import Workshop, workshop


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


@settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=EXAMPLES <= FEW,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(case=cases())
def test_engine_and_model_agree(shop: Workshop, case: Case) -> None:
    note(
        f"agree(shop, {case.settings!r}, {case.data!r}, "
        f"chunk_rows={case.chunk_rows}, shards={case.shards}, limit={case.limit})"
    )
    try:
        model = agree(
            shop, case.settings, case.data, chunk_rows=case.chunk_rows, shards=case.shards, limit=case.limit
        )
    except SettingsError as error:
        unexpected = [p for p in error.problems if not LOAD_ERRORS_BY_CHANCE.search(p.message)]
        assert not unexpected, unexpected
        reject()
    event("source refused" if model is None else "ran")


MODEL = [batches, boundary, interpreter, joins, nodes, reading, sinks, values, wiring]


@pytest.mark.parametrize("module", MODEL, ids=lambda module: module.__name__)
def test_the_model_shares_no_code_with_the_engine(module) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [name for name in imported if name and name.startswith("elspeth_dagster")]

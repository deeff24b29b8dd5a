"""The engine and the reference model agree on random graphs of all node kinds.

The normal run tries 150 cases; more of them:

    ELSPETH_MODEL_EXAMPLES=20000 .venv/bin/python -m pytest tests/model/test_graphs.py -p no:randomly
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from model.cases import Case
from model.compare import EXAMPLES, FEW, agree
from model.engine import Workshop, workshop
from model.graphs import graph_cases


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
@given(case=graph_cases())
def test_engine_and_model_agree_on_the_whole_graph(shop: Workshop, case: Case) -> None:
    note(f"agree(shop, {case.settings!r}, {case.data!r}, chunk_rows={case.chunk_rows}, shards={case.shards})")
    agree(shop, case.settings, case.data, chunk_rows=case.chunk_rows, shards=case.shards)

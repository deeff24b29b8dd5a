"""What Dagster is told of a pipeline, and what is drawn of it, shows no secret."""

import pytest
from platforms import Platform

from elspeth_dagster.graph import draw_mermaid, draw_text
from elspeth_dagster.orchestration import descriptions
from elspeth_dagster.plugins.compile import compile_pipeline

SECRET = "f0rty-two-characters-are-longer-than-what-is-drawn-of-a-condition"


def test_a_secret_in_a_condition_is_not_shown(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    path = platform.pipeline("keys", {
        "source": {"plugin": "csv", "on_success": "read",
                   "options": {"path": "in.csv", "on_validation_failure": "discard",
                               "schema": {"mode": "observed"}}},
        "gates": [{"name": "gate", "input": "read", "condition": "row['key'] == '${API_TOKEN}'",
                   "routes": {"true": "mine", "false": "others"}}],
        "aggregations": [],
        "sinks": {name: {"plugin": "csv", "options": {"path": f"output/{name}.csv"}}
                  for name in ("mine", "others")},
    })  # fmt: skip
    compiled = compile_pipeline(path)
    told = [draw_text(compiled.graph), draw_mermaid(compiled.graph), descriptions.of_job(compiled),
            descriptions.of_source(compiled), descriptions.of_sink(compiled, "mine")]  # fmt: skip
    for text in told:
        assert SECRET[:6] not in text
    assert "gate  (gate: ***)" in told[0]
    condition = compiled.graph.nodes["gate"].gate.condition
    assert condition.evaluate({"key": SECRET}) is True

"""GRAPH: records the nodes, edges and schemas that a run's tokens go through."""

from collections.abc import Mapping
from typing import Any

from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape.commits import CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.rows.fields import Schema


def record_graph(work: Work) -> None:
    """Commits the pipeline's graph, once per run."""
    graph = work.compiled.graph
    stored = _stored_options(work.compiled.settings.stored())
    hashes = work.compiled.code_hashes
    nodes = [
        {
            "name": node.name,
            "kind": node.kind.value,
            "plugin": node.plugin,
            "position": position,
            "stage": node.stage,
            "options": stored.get(node.name, {}),
            "schema": _schema_json(node.schema),
            "code_hash": hashes.get(node.name, ""),
        }
        for position, node in enumerate(graph.nodes.values())
    ]
    edges = [
        {"source": edge.source, "target": edge.target, "label": edge.label, "mode": edge.mode.value}
        for edge in graph.edges
    ]
    key = CommitKey(Phase.GRAPH, "graph", 0)
    commit(work.landscape, work.attempt, CommitDraft(key, catalogue={"nodes": nodes, "edges": edges}))


def _stored_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Per node what the record shows of its settings; secrets are out already."""
    options = {"source": settings["source"]["options"]}
    options |= {node["name"]: node["options"] for node in settings["transforms"]}
    options |= {
        gate["name"]: {"condition": gate["condition"], "routes": gate["routes"]} for gate in settings["gates"]
    }
    for section in ("aggregations", "coalesce"):
        options |= {node["name"]: _without_name(node) for node in settings[section]}
    return options | {name: sink["options"] for name, sink in settings["sinks"].items()}


def _without_name(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "name"}


def _schema_json(schema: Schema) -> dict[str, Any]:
    """A schema block as the record keeps it."""
    return {
        "mode": schema.mode.value,
        "fields": [
            {"name": field.name, "type": field.type.value, "required": field.required}
            for field in schema.fields
        ],
        "guaranteed_fields": list(schema.guaranteed_fields),
        "required_fields": list(schema.required_fields),
        "audit_fields": list(schema.audit_fields),
    }

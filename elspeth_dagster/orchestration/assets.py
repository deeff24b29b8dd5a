"""A pipeline as Dagster sees it: one graph-backed multi-asset and one job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from elspeth_dagster import __version__
from elspeth_dagster.landscape.digest import json_digest
from elspeth_dagster.orchestration import checks, descriptions, partitions, starts
from elspeth_dagster.orchestration.executors import executor
from elspeth_dagster.orchestration.names import PIPELINE_TAG, graph_name, safe_name
from elspeth_dagster.orchestration.ops import (
    SOURCE_OUTPUT,
    PipelineOps,
    launch_schema,
    sink_output,
)
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.plugins.compile import Compiled

_UPSTREAM = "source_file"


@dataclass(frozen=True)
class PipelineAssets:
    """The Dagster definitions of one pipeline."""

    assets: dg.AssetsDefinition
    job: Any
    schedules: tuple[dg.ScheduleDefinition, ...]
    sensors: tuple[dg.SensorDefinition, ...]
    op_names: tuple[str, ...]


def source_key(pipeline: str) -> dg.AssetKey:
    """Asset key of a pipeline's source."""
    return dg.AssetKey([pipeline, "source"])


def sink_key(pipeline: str, sink: str) -> dg.AssetKey:
    """Asset key of a pipeline's sink."""
    return dg.AssetKey([pipeline, sink])


def build_pipeline(
    compiled: Compiled,
    upstream: dg.AssetKey | None,
    landscape: LandscapeResource,
    *,
    console: str | None = None,
    shards: int | None = None,
) -> PipelineAssets:
    """Makes a pipeline's assets and its job.

    Args:
        compiled: The pipeline.
        upstream: What the source reads: an external asset, or another pipeline's sink.
        landscape: Where runs are recorded.
        console: The logger that the job writes to in place of Dagster's own console logger.
        shards: Among how many ops a stage's chunks are shared out, when not as the settings say.
    """
    pipeline = compiled.graph.pipeline
    settings = compiled.settings.dagster
    own_source = source_key(pipeline)
    balance, agreed = checks.balance(own_source), checks.agreed(compiled, own_source)
    ops = PipelineOps(compiled, balance, agreed, shards or settings.shards)
    keys = {SOURCE_OUTPUT: source_key(pipeline)}
    keys |= {sink_output(sink): sink_key(pipeline, sink) for sink in compiled.graph.sinks}
    kinds = {SOURCE_OUTPUT: compiled.settings.source.plugin}
    kinds |= {sink_output(sink): compiled.graph.nodes[sink].plugin or "" for sink in compiled.graph.sinks}
    version = code_version(compiled)
    graph = _graph(ops, with_upstream=upstream is not None)
    assets = dg.AssetsDefinition.from_graph(
        graph,
        partitions_def=partitions.definition(compiled),
        keys_by_input_name={_UPSTREAM: upstream} if upstream else {},
        keys_by_output_name=keys,
        internal_asset_deps=_dependencies(compiled, upstream),
        group_name=safe_name(settings.group or pipeline),
        check_specs=[ops.balance, *ops.checks],
        descriptions_by_output_name=_descriptions(compiled),
        tags_by_output_name={
            output: {f"dagster/kind/{safe_name(kind)}": "", **dict(settings.tags)}
            for output, kind in kinds.items()
        },
        owners_by_output_name={output: list(settings.owners) for output in keys},
        code_versions_by_output_name=dict.fromkeys(keys, version),
    )
    assets = _with_freshness(compiled, assets)
    job = _job(compiled, assets, landscape, console, ops.shards)
    op_names = tuple(node.name for node in graph.node_defs)
    schedules, sensors = starts.schedules(compiled, job), starts.sensors(compiled, job)
    return PipelineAssets(assets, job, schedules, sensors, op_names)


def _with_freshness(compiled: Compiled, assets: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """Gives the sinks' assets Dagster's policy on how old they may get."""
    agreed = compiled.settings.dagster.freshness
    if agreed is None:
        return assets
    policy = dg.FreshnessPolicy.time_window(fail_window=agreed.fail_after, warn_window=agreed.warn_after)
    sinks = {sink_key(compiled.graph.pipeline, sink) for sink in compiled.graph.sinks}
    return assets.map_asset_specs(
        lambda spec: dg.apply_freshness_policy(spec, policy) if spec.key in sinks else spec
    )


def _graph(ops: PipelineOps, *, with_upstream: bool) -> dg.GraphDefinition:
    """The op graph: see the table of phases in the architecture."""
    graph = ops.compiled.graph
    name = graph_name(graph.pipeline)
    # A job of partitioned assets takes no mapping of its own: there the graph has it.
    config = _launch_config(ops.compiled, None) if ops.compiled.settings.dagster.is_partitioned else None
    checked_by = [spec.get_python_identifier() for spec in (ops.balance, *ops.checks)]
    outputs = [SOURCE_OUTPUT, *checked_by, *map(sink_output, graph.sinks)]
    outs = {output: dg.GraphOut() for output in outputs}

    def compose(begin: Any) -> dict[str, Any]:
        opened = ops.open_run()(**({"after": begin} if begin is not None else {}))
        compiled = ops.compile_graph()(after=opened)
        loaded = ops.load_source()(after=compiled)
        processed: dict[int, list[Any]] = {}
        for stage in graph.stages:
            parent = graph.parent_stage(stage)
            before = loaded if parent is None else ops.plan(stage)(after=processed[parent])
            processed[stage] = [ops.process(stage, shard)(after=before) for shard in range(ops.shards)]
        judged = ops.check_run()(after=[done for stage in processed.values() for done in stage])
        # An op of one output gives that output itself.
        checked = judged.done if ops.checks else judged
        published: dict[str, Any] = {}
        for sink in graph.sinks:
            feeding = [published[edge.source] for edge in graph.in_edges(sink) if edge.source in published]
            published[sink] = ops.publish(sink)(after=[checked, *feeding])
        sealed = ops.seal_run()(after=list(published.values()))
        results = {SOURCE_OUTPUT: loaded, ops.balance.get_python_identifier(): sealed}
        results |= {name: getattr(judged, name) for name in checked_by[1:]}
        return results | {sink_output(sink): output for sink, output in published.items()}

    if with_upstream:

        def run_with_upstream(source_file: Any) -> dict[str, Any]:
            return compose(source_file)

        ins = {_UPSTREAM: dg.GraphIn()}
        return dg.graph(name=name, ins=ins, out=outs, config=config)(run_with_upstream)

    def run() -> dict[str, Any]:
        return compose(None)

    return dg.graph(name=name, out=outs, config=config)(run)


def _dependencies(compiled: Compiled, upstream: dg.AssetKey | None) -> Mapping[str, set[dg.AssetKey]]:
    """Per output, the assets it is made from: the source for every sink, a sink for its failure sink."""
    pipeline = compiled.graph.pipeline
    own_source = source_key(pipeline)
    dependencies: dict[str, set[dg.AssetKey]] = {SOURCE_OUTPUT: {upstream} if upstream else set()}
    sinks = set(compiled.graph.sinks)
    for sink in compiled.graph.sinks:
        feeding = {edge.source for edge in compiled.graph.in_edges(sink)} & sinks
        dependencies[sink_output(sink)] = {own_source, *(sink_key(pipeline, feeder) for feeder in feeding)}
    return dependencies


def _descriptions(compiled: Compiled) -> dict[str, str]:
    sinks = {sink_output(sink): descriptions.of_sink(compiled, sink) for sink in compiled.graph.sinks}
    return {SOURCE_OUTPUT: descriptions.of_source(compiled)} | sinks


def _job(
    compiled: Compiled,
    assets: dg.AssetsDefinition,
    landscape: LandscapeResource,
    console: str | None,
    shards: int,
) -> Any:
    pipeline = compiled.graph.pipeline
    settings = compiled.settings.dagster
    tags = {PIPELINE_TAG: pipeline}
    if settings.max_retries is not None:
        tags["dagster/max_retries"] = str(settings.max_retries)
        tags["dagster/retry_on_asset_or_op_failure"] = "true"  # whatever Dagster's home says
    return dg.define_asset_job(
        safe_name(pipeline),
        selection=dg.AssetSelection.assets(*assets.keys),
        description=descriptions.of_job(compiled),
        config=None if settings.is_partitioned else _launch_config(compiled, console),
        tags=tags,
        executor_def=executor(shards, landscape),
    )


def _launch_config(compiled: Compiled, console: str | None) -> dg.ConfigMapping:
    """What can be chosen at launch, as the config of the op that takes it."""

    def to_ops(choices: dict[str, Any]) -> dict[str, Any]:
        chosen = {"open_run": {"config": choices}}
        if compiled.settings.dagster.is_partitioned:
            return chosen
        return {"ops": {graph_name(compiled.graph.pipeline): {"ops": chosen}}} | _loggers_config(console)

    return dg.ConfigMapping(config_fn=to_ops, config_schema=launch_schema(compiled))


def run_config(compiled: Compiled, choices: Mapping[str, Any], console: str | None = None) -> dict[str, Any]:
    """Run config of the pipeline's job for some choices.

    Args:
        compiled: The pipeline.
        choices: What is chosen for this launch, such as `limit`.
        console: The logger that the job writes to, as given to `build_pipeline`.
    """
    if not compiled.settings.dagster.is_partitioned:
        return dict(choices)
    op = graph_name(compiled.graph.pipeline)
    return {"ops": {op: {"config": dict(choices)}}} | _loggers_config(console)


def run_config_again(
    compiled: Compiled, launched_with: Mapping[str, Any], console: str | None
) -> dict[str, Any]:
    """Run config under which a Dagster run of the pipeline's job is re-executed, whatever had launched it.

    Args:
        compiled: The pipeline.
        launched_with: The run config of that run.
        console: The logger that the job writes to now.
    """
    if not compiled.settings.dagster.is_partitioned:
        return dict(launched_with)
    return dict(launched_with) | _loggers_config(console)


def _loggers_config(console: str | None) -> dict[str, Any]:
    """Run config that chooses a logger in place of Dagster's own."""
    return {"loggers": {console: {}}} if console else {}


def code_version(compiled: Compiled) -> str:
    """A short hash over the engine's version, the settings and the plugins' source."""
    parts = {
        "engine": __version__,
        "settings": compiled.settings.stored(),
        "code": dict(compiled.code_hashes),
    }
    return json_digest(parts)[:16]

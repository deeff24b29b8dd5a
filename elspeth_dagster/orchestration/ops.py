"""The ops of a pipeline: each reads the catalogue, calls one engine function, and reports."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from elspeth_dagster.engine.compiling import record_graph
from elspeth_dagster.engine.finish import (
    check_run,
    counts_so_far,
    final_verdict,
    require_checked,
    require_released,
    seal_run,
)
from elspeth_dagster.engine.load import load_source
from elspeth_dagster.engine.plan import plan_stage
from elspeth_dagster.engine.process import process_shard
from elspeth_dagster.engine.sinking import publish_sink_of
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.orchestration import by_daemon, checks, metadata, partitions, stories
from elspeth_dagster.orchestration.attempt import phase_work
from elspeth_dagster.orchestration.checks import CheckSpec
from elspeth_dagster.orchestration.io_manager import IO_MANAGER_KEY
from elspeth_dagster.orchestration.names import RESTART_SOURCE_TAG, safe_name
from elspeth_dagster.orchestration.replaced import require_content
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.orchestration.superseded import require_latest
from elspeth_dagster.plugins.compile import Compiled

warnings.filterwarnings("ignore", message="Parameter `data_version`", category=dg.BetaWarning)

SOURCE_OUTPUT = "to_source"
# Made once: Dagster looks through the type of each that is made.
_AFTER = {"after": dg.In(dg.Nothing)}
_NOTHING = dg.Out(dg.Nothing)
_DONE = {"done": _NOTHING}
_ARTIFACT = dg.Out(dg.Nothing, io_manager_key=IO_MANAGER_KEY)


def sink_output(sink: str) -> str:
    """Name of the output by which a sink's op materialises its asset."""
    return f"to_{safe_name(sink)}"


@dataclass(frozen=True)
class PipelineOps:
    """Makes the op definitions of one pipeline.

    Attributes:
        compiled: The pipeline.
        balance: The check of the run's accounts.
        checks: Those that the settings ask for; all are on the source's asset.
        shards: Among how many ops a stage's chunks are shared out.
    """

    compiled: Compiled
    balance: CheckSpec
    checks: tuple[CheckSpec, ...]
    shards: int

    def _name(self, name: str) -> str:
        return f"{safe_name(self.compiled.graph.pipeline)}__{name}"

    def _op(self, function: Any, name: str, *, outs: dict[str, dg.Out], config: Any = None) -> Any:
        def compute(context: dg.OpExecutionContext, _inputs: Mapping[str, Any]) -> Iterator[Any]:
            yield from function(context, context.resources.landscape) or [dg.Output(None, "done")]

        # Not by the decorator `op`: it looks through signature and docstring of every function anew, which
        # was half of the time that a pipeline's definitions took.
        return dg.OpDefinition(
            compute,
            self._name(name),
            description=(function.__doc__ or "").strip(),
            ins=_AFTER,
            outs=outs,
            config_schema=config,
            required_resource_keys={"landscape"},
        ).alias(name)

    def open_run(self) -> Any:
        """The op that begins a run."""
        compiled = self.compiled

        def open_run(context: dg.OpExecutionContext, landscape: LandscapeResource) -> None:
            """Opens the landscape, makes the run and its first attempt."""
            launch = partitions.launch(context, compiled)
            with phase_work(context, compiled, landscape, Phase.DATABASE, launch) as work:
                context.log.info(
                    f"run {work.run_id}, attempt {work.attempt.number}, in {work.landscape.location.display}"
                )
                for warning in compiled.settings.warnings:
                    context.log.warning(warning)

        return self._op(open_run, "open_run", outs=_DONE, config=launch_schema(compiled))

    def compile_graph(self) -> Any:
        """The op that records the graph."""
        compiled = self.compiled

        def compile_graph(context: dg.OpExecutionContext, landscape: LandscapeResource) -> None:
            """Records the run's nodes, edges, schemas and settings."""
            with phase_work(context, compiled, landscape, Phase.GRAPH) as work:
                record_graph(work)

        return self._op(compile_graph, "compile_graph", outs=_DONE)

    def load_source(self) -> Any:
        """The op that reads the outside world."""
        compiled = self.compiled

        def load(context: dg.OpExecutionContext, landscape: LandscapeResource) -> Iterator[Any]:
            """Reads the source once and freezes it into chunks."""
            with phase_work(context, compiled, landscape, Phase.SOURCE) as work:
                restart = context.run.tags.get(RESTART_SOURCE_TAG) == "true"
                require_content(context, work, restart=restart)
                marker = load_source(work, restart=restart)
                chunks = reads.chunks(work.landscape, work.run_id, 0)
                facts = metadata.of_source(work, marker, chunks)
            version = dg.DataVersion(metadata.source_version(chunks))
            yield dg.Output(None, SOURCE_OUTPUT, metadata=facts, data_version=version)

        outs = {SOURCE_OUTPUT: _ARTIFACT}
        return self._op(load, "load_source", outs=outs)

    def plan(self, stage: int) -> Any:
        """The op that forms the batches that a stage begins with."""
        compiled = self.compiled
        aggregation = compiled.graph.aggregation_of(stage)
        assert aggregation is not None

        def plan(context: dg.OpExecutionContext, landscape: LandscapeResource) -> None:
            """Forms an aggregation's batches from its tokens in their order."""
            with phase_work(context, compiled, landscape, Phase.PROCESS) as work:
                marker = plan_stage(work, stage)
                context.log.info(f"{marker['members']:,} tokens in {marker['batches']:,} batches")

        return self._op(plan, f"plan_{safe_name(aggregation.name)}", outs=_DONE)

    def process(self, stage: int, shard: int) -> Any:
        """The op that sweeps one shard's chunks of a stage."""
        compiled, shards = self.compiled, self.shards

        def process(context: dg.OpExecutionContext, landscape: LandscapeResource) -> None:
            """Sweeps chunks and commits them one by one."""
            with phase_work(context, compiled, landscape, Phase.PROCESS) as work:
                swept = process_shard(work, stage=stage, shard=shard, shards=shards)
                context.log.info(f"processed {swept:,} {'chunk' if swept == 1 else 'chunks'}")

        return self._op(process, f"process_{stage}_{shard}", outs=_DONE)

    def check_run(self) -> Any:
        """The op that nothing passes unless the accounts balance."""
        compiled = self.compiled

        asset = self.balance.asset_key

        def check(context: dg.OpExecutionContext, landscape: LandscapeResource) -> Iterator[Any]:
            """Balances every node before the sinks and judges: the gate before anything leaves."""
            with phase_work(context, compiled, landscape, Phase.PROCESS) as work:
                verdict = check_run(work, *checks.given(context, work))
                context.log.info(f"accounts balance: {verdict.rows:,} records read")
                yield from checks.results(verdict, asset, work.run_id)
                if verdict.held_back_by:
                    facts = metadata.of_rows(work, counts_so_far(work))
                    checks.log(context, checks.balanced(asset, facts, published=False))
                require_released(work, verdict)
            yield dg.Output(None, "done")

        outs = _DONE | {spec.get_python_identifier(): _NOTHING for spec in self.checks}
        return self._op(check, "check_run", outs=outs)

    def publish(self, sink: str) -> Any:
        """The op that makes one sink's output durable."""
        compiled = self.compiled
        output = sink_output(sink)

        def publish_op(context: dg.OpExecutionContext, landscape: LandscapeResource) -> Iterator[Any]:
            """Makes the sink's output durable from committed parts."""
            with phase_work(context, compiled, landscape, Phase.SINK) as work:
                require_checked(work)
                artifact = publish_sink_of(
                    work,
                    sink,
                    admit=lambda: require_latest(context, work),
                    orphaned_s=lambda holder: by_daemon.continued_within_s(
                        context.instance, work.landscape, holder
                    ),
                )
                facts = metadata.of_sink(work, sink, artifact)
            yield dg.Output(None, output, metadata=facts, data_version=dg.DataVersion(artifact.sha256))

        outs = {output: _ARTIFACT}
        return self._op(publish_op, f"publish_{safe_name(sink)}", outs=outs)

    def seal_run(self) -> Any:
        """The op that completes the run."""
        compiled = self.compiled
        asset = self.balance.asset_key

        def seal(context: dg.OpExecutionContext, landscape: LandscapeResource) -> Iterator[Any]:
            """Balances the whole run and completes it."""
            with phase_work(context, compiled, landscape, Phase.DONE) as work:
                counts = seal_run(work)
                tallies = reads.tallies(work.landscape, work.run_id)
                final = final_verdict(work.landscape, work.run_id)
                judged = checks.news(context, work, final, asset) if final else ()
                observed = metadata.of_run(work.run_id, counts)
                facts = metadata.of_rows(work, counts)
            context.log.info(stories.summary(compiled.graph, work.run_id, counts, tallies))
            context.log_event(
                dg.AssetObservation(asset, metadata=observed, partition=partitions.key_of_run(context))
            )
            for result in judged:
                checks.log(context, result)
            yield checks.balanced(asset, facts, published=True)

        return self._op(seal, "seal_run", outs={self.balance.get_python_identifier(): _NOTHING})


def launch_schema(compiled: Compiled) -> dict[str, dg.Field]:
    """Config that may be given at launch, with its defaults."""
    by_file = compiled.settings.dagster.sensor is not None
    path = None if by_file else compiled.settings.source.options.get("path")
    return {
        "limit": dg.Field(
            dg.Noneable(int), default_value=0, description="Read at most so many records; 0 for all."
        ),
        "source_path": dg.Field(
            dg.Noneable(str),
            default_value=path,
            description="Read this file in place of the partition's."
            if by_file
            else "Read this file in place of the settings' one.",
        ),
    }

"""Alerts: sensors that tell somebody of every run of a pipeline that failed, is held back, or was ended."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import AttemptStatus, RunStatus
from elspeth_dagster.landscape.reads import AttemptRow
from elspeth_dagster.orchestration import stories
from elspeth_dagster.orchestration.names import PIPELINE_TAG
from elspeth_dagster.orchestration.resource import LandscapeResource


@dataclass(frozen=True)
class Alert:
    """A run of a pipeline that failed or was interrupted.

    Attributes:
        pipeline: Its name.
        status: `failed`, also when its checks hold it back, or `interrupted` when somebody ended it.
        dagster_run_id: The Dagster run that ended so.
        run_id: The run; `None` when it failed before there was one.
        error: What stopped it.
        facts: What the failure tells beside, as texts: `kept`, `published` and `next`, the ways to go on, and
            `node`, `row` and `exception` as far as known.
    """

    pipeline: str
    status: str
    dagster_run_id: str
    run_id: str | None
    error: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The alert as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        run = self.run_id or "(none yet)"
        title = f"{self.pipeline}: run {run} {self.status} (Dagster run {self.dagster_run_id})"
        return "\n".join([title, self.error, *(f"{name}: {said}" for name, said in self.facts.items())])


def alert_sensors(
    tell: Callable[[Alert], None],
    *,
    name: str = "alerts",
    landscape: LandscapeResource | None = None,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> list[dg.SensorDefinition]:
    """Makes sensors that tell of every run of a pipeline that did not go well, one alert per pipeline in it.

    They are two, since a sensor of Dagster follows one status: one for runs that failed or are held back, and
    one for those that somebody ended. They see all runs of the Dagster instance, those of `elspeth run` and
    `dagster job execute` too, which belong to no code location. Runs that are none of ours are passed over.

    Args:
        tell: Is called once per alert. What it raises is an error of the sensor's tick; the alert is not
            told again.
        name: The first sensor's name; the other one's ends with `_interrupted`.
        landscape: Where runs are recorded, when the resource's defaults are not right.
        default_status: Whether they are on from the start.
    """
    recorded = landscape or LandscapeResource()

    def failed(context: dg.RunFailureSensorContext) -> None:
        """Tells of each run of a pipeline that failed or is held back."""
        steps = _of_steps(context)
        others = _of_dagster_run(context, AttemptStatus.FAILED, recorded, told=steps)
        for alert in (*steps.values(), *others):
            tell(alert)

    def interrupted(context: dg.RunStatusSensorContext) -> None:
        """Tells of each run of a pipeline that somebody ended."""
        for alert in _of_dagster_run(context, AttemptStatus.INTERRUPTED, recorded):
            tell(alert)

    on_failure = dg.run_failure_sensor(
        name=name,
        description=(failed.__doc__ or "").strip(),
        monitor_all_code_locations=True,
        default_status=default_status,
    )
    on_interruption = dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.CANCELED,
        name=f"{name}_interrupted",
        description=(interrupted.__doc__ or "").strip(),
        monitor_all_code_locations=True,
        default_status=default_status,
    )
    return [on_failure(failed), on_interruption(interrupted)]


def _of_steps(context: dg.RunFailureSensorContext) -> dict[str, Alert]:
    """What the failed steps tell, by pipeline."""
    told: dict[str, Alert] = {}
    for event in context.get_step_failure_events():
        alert = _of_step(context.dagster_run.run_id, event)
        if alert is not None:
            told.setdefault(alert.pipeline, alert)
    return told


def _of_dagster_run(
    context: dg.RunStatusSensorContext,
    status: AttemptStatus,
    recorded: LandscapeResource,
    told: Collection[str] = (),
) -> list[Alert]:
    """What the landscape knows of a Dagster run's pipelines of which no step tells anything."""
    known = {alert.pipeline: alert for alert in _of_landscape(context, status, recorded)}
    pipeline = context.dagster_run.tags.get(PIPELINE_TAG)
    if not known and not told and pipeline is not None:
        return [Alert(pipeline, status.value, context.dagster_run.run_id, None, _message(context, status))]
    return [alert for alert in known.values() if alert.pipeline not in told]


def _of_step(dagster_run_id: str, event: dg.DagsterEvent) -> Alert | None:
    failure = event.step_failure_data.user_failure_data
    facts = {name: value.value for name, value in failure.metadata.items()} if failure else {}
    if failure is None or "pipeline" not in facts:
        return None
    words = {name: str(facts[name]) for name in _FACTS if name in facts}
    run_id = str(facts["run"]) if "run" in facts else None
    error = failure.description or event.message or ""
    return Alert(str(facts["pipeline"]), AttemptStatus.FAILED.value, dagster_run_id, run_id, error, words)


_FACTS = ("node", "row", "exception", "kept", "published", "next")


def _of_landscape(
    context: dg.RunStatusSensorContext, status: AttemptStatus, recorded: LandscapeResource
) -> Iterator[Alert]:
    """For runs whose processes were gone before they could tell, or were ended."""
    message = _message(context, status)
    try:
        with Landscape.open(recorded.location, create=False) as landscape:
            for attempt in reads.attempts_of_dagster_run(landscape, context.dagster_run.run_id):
                if reads.run(landscape, attempt.run_id).status is not RunStatus.COMPLETED:
                    yield _of_attempt(landscape, attempt, status, message)
    except ElspethError as error:
        context.log.warning(f"the landscape could not be asked: {error}")


def _of_attempt(landscape: Landscape, attempt: AttemptRow, status: AttemptStatus, message: str) -> Alert:
    # Dagster counts a run in the foreground that is interrupted as failed.
    ended = AttemptStatus.INTERRUPTED if attempt.status is AttemptStatus.INTERRUPTED else status
    error = attempt.error["message"] if attempt.error else message
    words = stories.failure(landscape, attempt.run_id)
    return Alert(attempt.pipeline, ended.value, attempt.dagster_run_id, attempt.run_id, error, words)


def _message(context: dg.RunStatusSensorContext, status: AttemptStatus) -> str:
    return context.dagster_event.message or f"the Dagster run was {status.value}"

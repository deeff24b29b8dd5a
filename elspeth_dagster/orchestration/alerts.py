"""Alerts: a sensor that tells somebody of every run of a pipeline that failed or is held back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.landscape.reads import AttemptRow
from elspeth_dagster.orchestration import stories
from elspeth_dagster.orchestration.names import PIPELINE_TAG
from elspeth_dagster.orchestration.resource import LandscapeResource


@dataclass(frozen=True)
class Alert:
    """A run of a pipeline that failed.

    Attributes:
        pipeline: Its name.
        dagster_run_id: The Dagster run that failed.
        run_id: The run; `None` when it failed before there was one.
        error: What stopped it.
        facts: What the failure tells beside, as texts: `kept`, `published` and `next`, the ways to go on, and
            `node`, `row` and `exception` as far as known.
    """

    pipeline: str
    dagster_run_id: str
    run_id: str | None
    error: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The alert as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        title = (
            f"{self.pipeline}: run {self.run_id or '(none yet)'} failed (Dagster run {self.dagster_run_id})"
        )
        return "\n".join([title, self.error, *(f"{name}: {said}" for name, said in self.facts.items())])


def alert_sensor(
    tell: Callable[[Alert], None],
    *,
    name: str = "alerts",
    landscape: LandscapeResource | None = None,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """Makes a sensor that tells of every failed run of a pipeline, one alert per pipeline in it.

    It sees all runs of the Dagster instance, those of `elspeth run` and `dagster job execute` too, which
    belong to no code location. Runs that are none of ours are passed over.

    Args:
        tell: Is called once per alert. What it raises is an error of the sensor's tick; the alert is not
            told again.
        name: The sensor's name.
        landscape: Where runs are recorded, when the resource's defaults are not right.
        default_status: Whether it is on from the start.
    """
    recorded = landscape or LandscapeResource()

    def alerts(context: dg.RunFailureSensorContext) -> None:
        """Tells of each run of a pipeline that failed."""
        for alert in _alerts(context, recorded):
            tell(alert)

    decorate = dg.run_failure_sensor(
        name=name,
        description=(alerts.__doc__ or "").strip(),
        monitor_all_code_locations=True,
        default_status=default_status,
    )
    return decorate(alerts)


def _alerts(context: dg.RunFailureSensorContext, recorded: LandscapeResource) -> Iterator[Alert]:
    """What the failed steps tell; where none does, what the landscape knows of the Dagster run."""
    dagster_run_id = context.dagster_run.run_id
    told: dict[str, Alert] = {}
    for event in context.get_step_failure_events():
        alert = _of_step(dagster_run_id, event)
        if alert is not None:
            told.setdefault(alert.pipeline, alert)
    silent = told or {alert.pipeline: alert for alert in _of_landscape(context, recorded)}
    pipeline = context.dagster_run.tags.get(PIPELINE_TAG)
    if not silent and pipeline is not None:
        silent = {pipeline: Alert(pipeline, dagster_run_id, None, _message(context))}
    yield from silent.values()


def _of_step(dagster_run_id: str, event: dg.DagsterEvent) -> Alert | None:
    failure = event.step_failure_data.user_failure_data
    facts = {name: value.value for name, value in failure.metadata.items()} if failure else {}
    if failure is None or "pipeline" not in facts:
        return None
    words = {name: str(facts[name]) for name in _FACTS if name in facts}
    run_id = str(facts["run"]) if "run" in facts else None
    error = failure.description or event.message or ""
    return Alert(str(facts["pipeline"]), dagster_run_id, run_id, error, words)


_FACTS = ("node", "row", "exception", "kept", "published", "next")


def _of_landscape(context: dg.RunFailureSensorContext, recorded: LandscapeResource) -> Iterator[Alert]:
    """For runs whose processes were gone before they could tell."""
    try:
        with Landscape.open(recorded.location, create=False) as landscape:
            for attempt in reads.attempts_of_dagster_run(landscape, context.dagster_run.run_id):
                if reads.run(landscape, attempt.run_id).status is not RunStatus.COMPLETED:
                    yield _of_attempt(landscape, attempt, _message(context))
    except ElspethError as error:
        context.log.warning(f"the landscape could not be asked: {error}")


def _of_attempt(landscape: Landscape, attempt: AttemptRow, message: str) -> Alert:
    error = attempt.error["message"] if attempt.error else message
    words = stories.failure(landscape, attempt.run_id)
    return Alert(attempt.pipeline, attempt.dagster_run_id, attempt.run_id, error, words)


def _message(context: dg.RunFailureSensorContext) -> str:
    return context.failure_event.message or "the Dagster run failed"

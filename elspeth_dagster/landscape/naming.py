"""Which run a person means."""

from itertools import takewhile

from sqlalchemy import select

from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import AmbiguousRunError, NoSuchRunError, PipelineNamedError
from elspeth_dagster.landscape.schema import runs
from elspeth_dagster.settings.errors import nearest

_LISTED = 5
_COMPARED = 100


def run_to_read(landscape: Landscape, said: str) -> str:
    """The id of the run that is meant by an id, a beginning of one, or a pipeline, whose newest run it is.

    Raises:
        NoSuchRunError: None is.
        AmbiguousRunError: Several ids begin so.
    """
    found = _by_id(landscape, said) or _newest(landscape, said)
    if found is None:
        raise _unknown(landscape, said, pipelines=True)
    return found


def run_to_change(landscape: Landscape, said: str) -> str:
    """The id of the run that is meant by an id, or a beginning of one.

    A pipeline does not do: another run of it may have begun since its user looked.

    Raises:
        NoSuchRunError: None is.
        AmbiguousRunError: Several ids begin so.
        PipelineNamedError: A pipeline is called so.
    """
    found = _by_id(landscape, said)
    if found is not None:
        return found
    newest = _newest(landscape, said)
    if newest is not None:
        raise PipelineNamedError(said, newest)
    raise _unknown(landscape, said, pipelines=False)


def _by_id(landscape: Landscape, said: str) -> str | None:
    if not said:
        return None
    # All that begin so follow one another, and the first is the one that is called so to the end.
    query = select(runs.c.run_id).where(runs.c.run_id >= said).order_by(runs.c.run_id).limit(_LISTED + 1)
    following = landscape.ask(lambda connection: list(connection.execute(query).scalars()))
    found = list(takewhile(lambda run_id: run_id.startswith(said), following))
    if len(found) > 1 and found[0] != said:
        raise AmbiguousRunError(said, found[:_LISTED], more=len(found) > _LISTED)
    return found[0] if found else None


def _newest(landscape: Landscape, pipeline: str) -> str | None:
    return next((run.run_id for run in reads.runs(landscape, limit=1, pipeline=pipeline)), None)


def _unknown(landscape: Landscape, said: str, *, pipelines: bool) -> NoSuchRunError:
    query = select(runs.c.run_id, runs.c.pipeline).order_by(runs.c.created_at.desc()).limit(_COMPARED)
    latest = landscape.ask(lambda connection: connection.execute(query).all())
    names = [run.run_id for run in latest]
    if pipelines:
        names += dict.fromkeys(run.pipeline for run in latest)
    return NoSuchRunError(said, landscape.location.display, nearest(said, names))

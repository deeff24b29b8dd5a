"""What every way of publishing shares: the sink's parts, the log of refusals, the one commit."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from elspeth_dagster.accounting import tally_publish
from elspeth_dagster.engine.delivery import originals_of
from elspeth_dagster.engine.publish_errors import OutputOrderError
from elspeth_dagster.engine.refusals import FAIL, Failure, RefusalLog
from elspeth_dagster.engine.streams import Piece, pieces_of
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import ArtifactFacts, CommitDraft, CommitKey, check_fence, commit
from elspeth_dagster.landscape.model import Attempt, Phase
from elspeth_dagster.landscape.reads import PartRow
from elspeth_dagster.plugins.base import PluginContext, Sink


@dataclass(frozen=True)
class Publication:
    """What is to be published.

    Attributes:
        name: The sink's name.
        sink: Its plugin.
        takes_any: Whether a divert edge leads to it.
        failure: Where rows go that it refuses.
    """

    name: str
    sink: Sink
    takes_any: bool = False
    failure: Failure = FAIL


@dataclass(frozen=True)
class Publishing:
    """One publish at work.

    Attributes:
        landscape: The record.
        attempt: The attempt that publishes.
        publication: What it publishes.
        context: What the plugin may know.
    """

    landscape: Landscape
    attempt: Attempt
    publication: Publication
    context: PluginContext

    @property
    def key(self) -> CommitKey:
        """The publish's commit."""
        return CommitKey(Phase.SINK, self.publication.name, 0)

    def parts(self) -> Iterator[PartRow]:
        """The sink's parts, stream by stream."""
        return chain.from_iterable(self._streams())

    def pieces(self) -> Iterator[Piece]:
        """The sink's output from its beginning."""
        return pieces_of(self.landscape, self._streams(), self._disorder)

    def originals(self) -> Mapping[str, str]:
        """Field to its header at the source."""
        landscape, run_id = self.landscape, self.attempt.run_id
        return originals_of(reads.source_header(landscape, run_id), self.parts())

    def _streams(self) -> list[Iterator[PartRow]]:
        place = (self.landscape, self.attempt.run_id, self.publication.name)
        return [reads.parts_in_stream(*place, stream) for stream in reads.part_streams(*place)]

    @contextmanager
    def refusals(self) -> Iterator[RefusalLog]:
        """A log whose files are closed after an error."""
        log = RefusalLog(self.landscape, self.attempt, self.key, self.publication.failure)
        try:
            yield log
        except BaseException as error:
            log.abandon(error)
            raise

    def published(self) -> ArtifactFacts | None:
        """The artifact, once the publish is committed."""
        return reads.artifact(self.landscape, self.attempt.run_id, self.publication.name)

    def check_fence(self) -> None:
        """Makes sure that this attempt still holds the run, before something outside is touched.

        Raises:
            FenceLostError: It does not.
        """
        self.landscape.ask(lambda connection: check_fence(connection, self.attempt, self.key))

    def commit(self, log: RefusalLog, artifact: ArtifactFacts) -> ArtifactFacts:
        """Records what was delivered and what was refused; gives the artifact that stands."""
        tables, parts = log.close()
        arrived: Counter[str] = Counter()
        for part in self.parts():
            arrived.update(part.info["edges"])
        tallies = tally_publish(self.publication.name, arrived=arrived, refused=log.refused)
        draft = CommitDraft(self.key, tables, tallies, parts, artifact=artifact)
        commit(self.landscape, self.attempt, draft)
        return self.published() or artifact

    def _disorder(self, before: str, after: str) -> Exception:
        return OutputOrderError(self.attempt.pipeline, self.publication.name, before, after)

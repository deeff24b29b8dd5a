"""The story of a row, in the shape in which people and scripts get it."""

from dataclasses import asdict, dataclass, replace
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How a token ended; `outcome` is `None` until it has, and `sink` is where it is, or is bound for.

    Attributes:
        uri: What the sink has made, once it is published.
    """

    outcome: str | None
    sink: str | None
    uri: str | None
    reason: Json | None


@dataclass(frozen=True)
class MadeToken:
    """A token that a batch made, and how it ended. It is told whole with the row that begins its id."""

    token_id: str
    row: int
    outcome: Ending


@dataclass(frozen=True)
class BatchFacts:
    """A batch.

    Attributes:
        number: Its number in its aggregation.
        trigger: Why it was complete.
        members: How many it has.
        made: For a token that it consumed, what goes on in its members' place.
    """

    number: int
    trigger: str
    members: int
    made: tuple[MadeToken, ...] | None


@dataclass(frozen=True)
class State:
    """A token at a node. Hashes (hex) are those of the row as it came and as it left.

    Attributes:
        plugin: The node's plugin; `None` where none stands behind a node.
        batch: At an aggregation, the batch that the token is in or came of.
    """

    node: str
    plugin: str | None
    try_number: int
    status: str
    input_hash: str | None
    output_hash: str | None
    error: Json | None
    batch: BatchFacts | None = None

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it; what is told of a batch is there at aggregations alone."""
        facts: Json = {
            "node": self.node,
            "plugin": self.plugin,
            "try": self.try_number,
            "status": self.status,
            "input_hash": self.input_hash,
            "output_hash": self.output_hash,
            "error": self.error,
        }
        if self.batch is None:
            return facts
        facts |= {"batch": self.batch.number, "members": self.batch.members}
        return facts if self.batch.made is None else {**facts, "made": list(map(asdict, self.batch.made))}


@dataclass(frozen=True)
class Call:
    """What a node that waits on something outside was asked about a token.

    Attributes:
        elapsed_us: How long the call took, in microseconds, its tries and the waits between them included.
        failed_tries: What went wrong in each try before the last.
        error: Why it came to nothing, if it did.
    """

    node: str
    elapsed_us: int
    failed_tries: tuple[Json, ...]
    error: Json | None


@dataclass(frozen=True)
class Route:
    """An edge that a token took; `to` is `None` when it leads nowhere (discard), or when others go on for it.

    Attributes:
        reason: For a gate its condition and the values that it read, for a divert the error, for a join the
            branches in it and the fields that clashed.
    """

    node: str
    label: str
    to: str | None
    mode: str | None
    reason: Json | None


@dataclass(frozen=True)
class TokenStory:
    """One token, from its making to its end."""

    token_id: str
    parents: tuple[str, ...]
    branch: str | None
    states: tuple[State, ...]
    routes: tuple[Route, ...]
    calls: tuple[Call, ...]
    outcome: Ending

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it."""
        return {**asdict(self), "states": [state.to_json() for state in self.states]}


@dataclass(frozen=True)
class RowFacts:
    """A row as it was received, and its fate.

    Attributes:
        index: Its index.
        status: The outcome of its token, or how many tokens ended how; `in progress` before they all have, or
            `not delivered` where the run stopped before they had.
        source_hash: Hash (hex) of the row as it came over the boundary.
        data: The row as received; `None` when it is not kept any more.
        errors: Every error of its tokens: token, node, kind and reason.
        arrived_at: When it was read, ISO 8601.
        line: The line of the input that it ended on; `None` when that is not known.
        input: The file that this line is in, as the settings name it.
    """

    index: int
    status: str
    source_hash: str | None
    data: Any
    errors: tuple[Json, ...]
    arrived_at: str | None
    line: int | None
    input: str | None


@dataclass(frozen=True)
class Explanation:
    """The whole story of a row.

    Attributes:
        run_status: The run's status.
        partition: Key of the partition that the run is for; `None` where its pipeline has none.
        source_path: The file that the run reads; `None` where it reads none.
        stopped: Why the run is neither at work nor completed, so that what it has not delivered stays so;
            `None` otherwise.
    """

    run_id: str
    pipeline: str
    run_status: str
    partition: str | None
    source_path: str | None
    stopped: str | None
    row: RowFacts
    tokens: tuple[TokenStory, ...]

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it."""
        told = asdict(replace(self, tokens=()))
        return {**told, "tokens": [token.to_json() for token in self.tokens]}

"""The story of a row, in the shape in which people and scripts get it."""

from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class State:
    """A token at a node. Hashes (hex) are those of the row as it came and as it left."""

    node: str
    try_number: int
    status: str
    input_hash: str | None
    output_hash: str | None
    error: Json | None

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it."""
        facts = asdict(self)
        return {"node": facts.pop("node"), "try": facts.pop("try_number"), **facts}


@dataclass(frozen=True)
class Route:
    """An edge that a token took; `to` is `None` when it leads nowhere (discard).

    Attributes:
        reason: For a gate its condition and the values that it read, for a divert the error.
    """

    node: str
    label: str
    to: str | None
    mode: str | None
    reason: Json | None


@dataclass(frozen=True)
class Ending:
    """How a token ended; `outcome` is `None` until it has, and `sink` is where it is, or is bound for."""

    outcome: str | None
    sink: str | None
    reason: Json | None


@dataclass(frozen=True)
class TokenStory:
    """One token, from its making to its end."""

    token_id: str
    parents: tuple[str, ...]
    branch: str | None
    states: tuple[State, ...]
    routes: tuple[Route, ...]
    calls: tuple[Json, ...]
    outcome: Ending

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it."""
        return {**asdict(self), "states": [state.to_json() for state in self.states]}


@dataclass(frozen=True)
class RowFacts:
    """A row as it was received, and its fate.

    Attributes:
        index: Its index.
        status: The outcome of its token, or how many tokens ended how; `in progress` before they all have.
        source_hash: Hash (hex) of the row as it came over the boundary.
        data: The row as received; `None` when it is not kept any more.
        errors: Every error of its tokens: token, node, kind and reason.
        arrived_at: When it was read, ISO 8601.
    """

    index: int
    status: str
    source_hash: str | None
    data: Any
    errors: tuple[Json, ...]
    arrived_at: str | None


@dataclass(frozen=True)
class Explanation:
    """The whole story of a row."""

    run_id: str
    row: RowFacts
    tokens: tuple[TokenStory, ...]

    def to_json(self) -> Json:
        """As `elspeth explain --json` has it."""
        tokens = [token.to_json() for token in self.tokens]
        return {"run_id": self.run_id, "row": asdict(self.row), "tokens": tokens}

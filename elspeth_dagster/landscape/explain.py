"""The whole story of a row: as received, what every node made of it, where it ended and why."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from elspeth_dagster.accounting import Outcome
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import LandscapeError
from elspeth_dagster.landscape.model import FAILED_TRY, RunStatus, held_back_marker
from elspeth_dagster.landscape.reads import NodeRow, RunRow
from elspeth_dagster.landscape.row_record import RecordedRow, RowRecord, Swept, find_row, rows_known
from elspeth_dagster.landscape.story import (
    BatchFacts,
    Call,
    Ending,
    Explanation,
    Json,
    MadeToken,
    Route,
    RowFacts,
    State,
    TokenStory,
)
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.tokens import row_index, token_text
from elspeth_dagster.rows.values import load_exact, parse_json

IN_PROGRESS = "in progress"
NOT_DELIVERED = "not delivered"
WRITE_FAILURE = "on_write_failure"
_Made = Mapping[tuple[str, int], tuple[MadeToken, ...]]
# How a token ends that turns into others, which then carry the row's fate.
_TURNED = frozenset(
    outcome.value
    for outcome in (Outcome.FORKED, Outcome.EXPANDED, Outcome.COALESCED, Outcome.CONSUMED_IN_BATCH)
)


class NoSuchRowError(LandscapeError):
    """A row that a run does not have."""

    def __init__(self, run_id: str, row: int, known: int, *, complete: bool) -> None:
        so_far = "" if complete else " so far"
        rows = f"its rows{so_far} are 0 to {known - 1}" if known else f"it has no rows{so_far}"
        super().__init__(f"run {run_id} has no row {row}: {rows}")
        self.row = row
        self.known = known


def explain(landscape: Landscape, run_id: str, row: int) -> Explanation:
    """The story of a row, as far as it is committed.

    Raises:
        NoSuchRunError: The landscape does not hold the run.
        NoSuchRowError: The run has no row of this index.
        DamagedRecordError: A segment that it reads is not what was committed.
    """
    run = reads.run(landscape, run_id)
    record = find_row(landscape, run_id, row)
    if record is None:
        complete = run.status is RunStatus.COMPLETED
        raise NoSuchRowError(run_id, row, rows_known(landscape, run_id), complete=complete)
    received, swept = record.received(), record.swept()
    tellings = [] if swept is None else list(_tellings(record, swept))
    made = {} if swept is None else _made(record, swept, tellings)
    stories = tuple(telling.story(made) for telling in tellings)
    line = None if received is None else received.lines[0].as_py()
    stopped = _stopped(landscape, run)
    facts = RowFacts(
        index=row,
        status=_status(stories, IN_PROGRESS if stopped is None else NOT_DELIVERED),
        source_hash=tellings[0].hash_of(0) if tellings else None,
        data=None if received is None else _data(received),
        errors=tuple(error for telling in tellings for error in telling.errors()),
        arrived_at=None if received is None else _arrived_at(run, received),
        line=line,
        input=None if line is None else run.source_path,
    )
    return Explanation(
        run_id, run.pipeline, run.status.value, run.partition, run.source_path, stopped, facts, stories
    )


_STOPPED = {
    RunStatus.FAILED: "the run failed",
    RunStatus.INTERRUPTED: "the run was interrupted",
    RunStatus.ABANDONED: "the run was abandoned",
}


def _stopped(landscape: Landscape, run: RunRow) -> str | None:
    """Why a run is neither at work nor completed."""
    is_held_back = run.status is RunStatus.FAILED and reads.marker(
        landscape, run.run_id, held_back_marker(run.fence)
    )
    return "the run is held back by its checks" if is_held_back else _STOPPED.get(run.status)


@dataclass(frozen=True)
class _Telling:
    """Everything that is recorded of one token."""

    token: bytes
    made: RecordedRow
    ending: RecordedRow
    states: Sequence[RecordedRow]
    hashes: Mapping[int, str]
    failures: Sequence[RecordedRow]
    calls: Sequence[RecordedRow]
    refusals: Sequence[RecordedRow]
    pending: bool
    nodes: Mapping[str, NodeRow]
    uris: Mapping[str, str]
    batches: Mapping[tuple[str, int], RecordedRow]

    def story(self, by_batch: _Made) -> TokenStory:
        states = [self._state(state, by_batch) for state in self.states]
        states += [self._refused_state(refusal) for refusal in self.refusals]
        routes = [self._route(state) for state in self.states if _is_route(state)]
        routes += [_refused_route(r) for r in self.refusals if r["outcome"] == Outcome.QUARANTINED.value]
        parents = tuple(token_text(parent) for parent in self.made.get("parents") or ())
        return TokenStory(
            token_id=token_text(self.token),
            parents=parents,
            branch=self.made.get("branch"),
            states=tuple(states),
            routes=tuple(routes),
            calls=tuple(_call(call) for call in self.calls),
            outcome=self.outcome(),
        )

    def hash_of(self, version: int | None) -> str | None:
        return None if version is None else self.hashes.get(version)

    def errors(self) -> Iterator[Json]:
        """What went wrong, in order."""
        for failure in self.failures:
            reason = load_exact(failure["reason"])
            about = {"node": failure["node"], "kind": failure["kind"], "reason": reason}
            yield {"token_id": token_text(self.token), **about}
        for refusal in self.refusals:
            reason = load_exact(refusal["reason"])
            token_id = token_text(self.token)
            yield {"token_id": token_id, "node": refusal["node"], "kind": "write", "reason": reason}

    def _state(self, state: RecordedRow, by_batch: _Made) -> State:
        return State(
            state["node"],
            self.nodes[state["node"]].plugin,
            state["try"],
            state["status"],
            self.hash_of(state["input_version"]),
            self.hash_of(state["output_version"]),
            self._error(state),
            self._batch(state, by_batch),
        )

    def _batch(self, state: RecordedRow, by_batch: _Made) -> BatchFacts | None:
        number = state["batch"]
        if number is None and self.made.get("created_by") == state["node"]:
            number = self.made["batch"]
        batch = (state["node"], number)
        facts = None if number is None else self.batches.get(batch)
        if facts is None:
            return None
        is_consumed = state["outcome"] == Outcome.CONSUMED_IN_BATCH.value
        return BatchFacts(
            number, facts["trigger"], facts["members"], by_batch.get(batch) if is_consumed else None
        )

    def _refused_state(self, refusal: RecordedRow) -> State:
        """A sink notes only what it refuses; the row came there in its last version."""
        came_as = self.hashes[max(self.hashes)] if self.hashes else None
        node, reason = refusal["node"], load_exact(refusal["reason"])
        return State(node, self.nodes[node].plugin, 1, Outcome.FAILED.value, came_as, None, reason)

    def _route(self, state: RecordedRow) -> Route:
        return Route(state["node"], state["label"], state["to"], state["mode"], self._reason(state))

    def _reason(self, state: RecordedRow) -> Json | None:
        if state["reads"] is None:
            return self._error(state)
        read: Json = load_exact(state["reads"])
        condition = self.nodes[state["node"]].options.get("condition")
        return read if condition is None else {"condition": condition, "read": read}

    def _error(self, state: RecordedRow) -> Json | None:
        if state["status"] == "completed":
            return None
        here = [failure for failure in self.failures if failure["node"] == state["node"]]
        tries = [load_exact(failure["reason"]) for failure in here if failure["kind"] == FAILED_TRY]
        final = [load_exact(failure["reason"]) for failure in here if failure["kind"] != FAILED_TRY]
        ended = state["label"] is not None or state["outcome"] is not None
        found = final if ended else [reason for reason in tries if reason["try"] == state["try"]]
        return found[0] if found else None

    def outcome(self) -> Ending:
        """How the token ended."""
        outcome, sink = self.ending.get("outcome"), self.ending.get("to")
        reason = self._reason(self.ending) if self.ending else None
        if self.refusals:
            last = self.refusals[-1]
            outcome, sink, reason = last["outcome"], last["to"], load_exact(last["reason"])
        uri = None if self.pending or sink is None else self.uris.get(sink)
        return Ending(None if self.pending else outcome, sink, uri, reason)


def _call(call: RecordedRow) -> Call:
    error = None if call["error"] is None else load_exact(call["error"])
    return Call(call["node"], call["elapsed_us"], tuple(map(load_exact, call["failed_tries"])), error)


def _is_route(state: RecordedRow) -> bool:
    """Whether a token took an edge there, or left by a label without one."""
    return state["to"] is not None or state["label"] is not None


def _tellings(record: RowRecord, swept: Swept) -> Iterator[_Telling]:
    """The row's tokens, parents first."""
    nodes = {node.name: node for node in record.nodes}
    published = reads.artifacts(record.landscape, record.chunk.run_id)
    uris = {artifact.sink: artifact.uri for artifact in published}
    made = {token["token"]: token for token in swept.tokens}
    states = _by_token(swept.states)
    for token, facts in made.items():
        states[token] = [_with_decision(state, facts, states) for state in states[token]]
    versions, errors, calls = map(_by_token, (swept.versions, swept.errors, swept.calls))
    for token in sorted(made.keys() | states.keys()):
        ending = next((state for state in reversed(states[token]) if state["outcome"] is not None), None)
        destination = ending["to"] if ending else None
        refusals, pending = _at_sinks(record, token, destination)
        yield _Telling(
            token=token,
            made=made.get(token, {}),
            ending=ending or {},
            states=states[token],
            hashes={version["version"]: version["hash"].hex() for version in versions[token]},
            failures=errors[token],
            calls=calls[token],
            refusals=refusals,
            pending=pending,
            nodes=nodes,
            uris=uris,
            batches=swept.batches,
        )


def _made(record: RowRecord, swept: Swept, tellings: Sequence[_Telling]) -> _Made:
    """What came out of the batches that took tokens of a row: tokens of the row in each that it hangs off."""
    rows = {token: row_index(token) for tokens in swept.made.values() for token in tokens}
    endings = {telling.token: telling.outcome() for telling in tellings}
    for row in set(rows.values()) - {record.row}:
        other = find_row(record.landscape, record.chunk.run_id, row)
        also = None if other is None else other.swept()
        assert other is not None
        assert also is not None
        endings |= {telling.token: telling.outcome() for telling in _tellings(other, also)}
    return {
        batch: tuple(MadeToken(token_text(token), rows[token], endings[token]) for token in sorted(tokens))
        for batch, tokens in swept.made.items()
    }


def _with_decision(
    state: RecordedRow, made: RecordedRow, states: Mapping[bytes, Sequence[RecordedRow]]
) -> RecordedRow:
    """A copy's edge was taken because of what the gate read of the token that it forked."""
    if state["mode"] != "copy":
        return state
    (parent,) = made["parents"]
    decisions = (at["reads"] for at in states[parent] if at["node"] == state["node"])
    return {**state, "reads": next(decisions, None)}


def _by_token(rows: Sequence[RecordedRow]) -> defaultdict[bytes, list[RecordedRow]]:
    grouped: defaultdict[bytes, list[RecordedRow]] = defaultdict(list)
    for row in rows:
        grouped[row["token"]].append(row)
    return grouped


def _at_sinks(record: RowRecord, token: bytes, sink: str | None) -> tuple[list[RecordedRow], bool]:
    """The refusals of a token, sink after sink, and whether the last sink is still to be published."""
    refused: list[RecordedRow] = []
    while sink is not None:
        refusals = record.refusals(sink)
        if refusals is None:
            return refused, True
        if token not in refusals:
            return refused, False
        refused.append(refusals[token])
        sink = refusals[token]["to"]
    return refused, False


def _refused_route(refusal: RecordedRow) -> Route:
    to = refusal["to"]
    mode = None if to is None else "divert"
    return Route(refusal["node"], WRITE_FAILURE, to, mode, load_exact(refusal["reason"]))


def _status(stories: Sequence[TokenStory], unended: str) -> str:
    """The fate of a row of these tokens: how those ended that did not turn into others.

    A row that is a batch's member may have none of these; what counts then is what it turned into last.

    Args:
        stories: Of its tokens.
        unended: What is said of those that have not ended.
    """
    parents = {parent for story in stories for parent in story.parents}
    outcomes = [story.outcome.outcome for story in stories]
    fates = [outcome or unended for outcome in outcomes if outcome not in _TURNED]
    fates = fates or [str(story.outcome.outcome) for story in stories if story.token_id not in parents]
    fates = fates or [unended]
    if len(fates) == 1:
        return fates[0]
    counts = Counter(fates)
    order = [*(outcome.value for outcome in Outcome), unended]
    return ", ".join(f"{fate} {counts[fate]}" for fate in order if counts[fate])


def _data(received: Records) -> Any:
    """A record as received, as JSON can say it; what could not be cut, or is no JSON, as its text."""
    if received.problems[0].as_py() is not None:
        return load_exact(received.problem_records[0].as_py())
    if received.form is Form.CELLS:
        return {name: cells[0].as_py() for name, cells in received.cells.items()}
    raw: bytes = received.raw[0].as_py()
    if received.form is Form.VALUES:
        return load_exact(raw.decode())
    try:
        return parse_json(raw)
    except InvalidValueError:
        text = raw.decode("utf-8", "backslashreplace")
        return {"__raw_line__": text, "__line_number__": received.lines[0].as_py()}


def _arrived_at(run: RunRow, received: Records) -> str:
    return (run.created_at + timedelta(microseconds=received.arrived_us[0].as_py())).isoformat()

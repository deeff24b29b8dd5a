"""The story of a row as a tree, for people."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from elspeth_dagster.cli.plain import plain
from elspeth_dagster.landscape.story import (
    BatchFacts,
    Call,
    Ending,
    Explanation,
    MadeToken,
    Route,
    State,
    TokenStory,
)

_COLOURS = {
    "completed": "green", "routed": "green", "quarantined": "yellow", "failed": "red", "in progress": "cyan",
    "not delivered": "red",
}  # fmt: skip
_LONGEST = 160
_HASH_DIGITS = 12
_NAMED = 3
_WAYS_SET_ASIDE = frozenset({"on_validation_failure", "on_error", "on_write_failure"})


def show(explanation: Explanation) -> None:
    """Prints a row as received, then each token's way, node by node, to its end."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(tree(explanation))


def tree(explanation: Explanation) -> Tree:
    """What `show` prints."""
    row = explanation.row
    which = f" of {explanation.pipeline}, run {explanation.run_id}{_input(explanation)}: "
    title = Text.assemble("row ", (str(row.index), "bold"), which, _fate(row.status))
    if any(map(_batch_that_made, explanation.tokens)):
        title.append(" (with what batches made of it and others)")
    story = Tree(title)
    _add_received(story, explanation)
    for token in explanation.tokens:
        _add_token(story, token, explanation)
    if not explanation.tokens:
        stopped = "" if explanation.stopped is None else f": {explanation.stopped}"
        story.add(Text(f"it is read, and not processed yet{stopped}", "cyan"))
    return story


def _input(explanation: Explanation) -> str:
    """The partition that the run is for, else the file that it reads."""
    if explanation.partition is not None:
        return f", partition {plain(explanation.partition)}"
    return "" if explanation.source_path is None else f", {plain(explanation.source_path)}"


def _add_received(story: Tree, explanation: Explanation) -> None:
    row = explanation.row
    if row.arrived_at is None:
        story.add("received; what it was is not kept any more")
        return
    title = f"received {row.arrived_at}"
    if row.line is not None:
        title += f", line {row.line}" + (f" of {plain(row.input)}" if row.input else "")
    received = story.add(_hashed(Text(title), row.source_hash))
    if isinstance(row.data, dict):
        for name, value in row.data.items():
            received.add(Text(f"{plain(name)}: {_value(value)}"))
    else:
        received.add(Text(_value(row.data)))


def _add_token(story: Tree, token: TokenStory, explanation: Explanation) -> None:
    title = Text.assemble("token ", (token.token_id, "bold"))
    if token.branch is not None:
        title.append(f" on branch {token.branch}")
    batch = _batch_that_made(token)
    if batch is not None:
        title.append(f", made of a batch of {_members(batch)}")
    elif token.parents:
        title.append(f", made of {', '.join(token.parents)}")
    branch = story.add(title)
    last_try = {state.node: state for state in token.states}
    for state in token.states:
        last = state is last_try[state.node]
        routes = [route for route in token.routes if last and route.node == state.node]
        calls = [call for call in token.calls if last and call.node == state.node]
        shown = _add_state(branch, state, routes, calls)
        if state.batch is not None and state.batch.made is not None:
            _add_made(shown, state.batch.made, explanation)
    branch.add(_ending(token.outcome, explanation.stopped))


def _batch_that_made(token: TokenStory) -> BatchFacts | None:
    """The batch that a token came of."""
    first = next(iter(token.states), None)
    return first.batch if first is not None and first.input_hash is None else None


def _add_state(branch: Tree, state: State, routes: list[Route], calls: list[Call]) -> Tree:
    title = Text.assemble((state.node, "bold"), f" ({state.plugin}) " if state.plugin else " ")
    if state.try_number > 1:
        title.append(f"try {state.try_number} ")
    title.append(state.status, _COLOURS.get(state.status, ""))
    if state.batch is not None:
        title.append(f" {'from' if state.input_hash is None else 'in'} {_batch(state)}")
    changed = state.output_hash if state.output_hash != state.input_hash else None
    shown = branch.add(_hashed(title, changed))
    if state.error is not None:
        shown.add(Text(f"because {_facts(state.error)}"))
    for call in calls:
        shown.add(Text(f"waited {call.elapsed_us / 1e6:.3f} s for the answer"))
    for route in routes:
        if route.reason is not None and "read" in route.reason:
            shown.add(Text(f"decided by {route.reason['condition']}"))
            shown.add(Text(f"which read {_facts(route.reason['read']) or 'nothing'}"))
        elif route.reason is not None and "clashes" in route.reason:
            shown.add(Text(_join(route.reason)))
        shown.add(Text(_way(route)))
    return shown


def _add_made(shown: Tree, made: Sequence[MadeToken], explanation: Explanation) -> None:
    """What goes on in the place of a token that a batch consumed: where it is told, and how it ended."""
    if not made:
        shown.add("which made nothing")
        return
    tokens = "1 token" if len(made) == 1 else f"{len(made):,} tokens"
    row = made[0].row
    where = "below" if row == explanation.row.index else f"by: elspeth explain {explanation.run_id} {row}"
    which = shown.add(Text(f"which made {tokens}, told {where}"))
    by_ending: dict[tuple[str | None, ...], list[MadeToken]] = {}
    for token in made:
        end = token.outcome
        by_ending.setdefault((end.outcome, end.sink, end.uri), []).append(token)
    for same in by_ending.values():
        ids = [token.token_id for token in same[:_NAMED]] + ["…"] * (len(same) > _NAMED)
        which.add(Text(f"{', '.join(ids)}: ").append_text(_ending(same[0].outcome, explanation.stopped)))


def _batch(state: State) -> str:
    batch = state.batch
    assert batch is not None
    why = batch.trigger.replace("_", " ")
    return f"batch {batch.number} of {state.node} ({why}, {_members(batch)})"


def _members(batch: BatchFacts) -> str:
    return "1 member" if batch.members == 1 else f"{batch.members:,} members"


def _join(reason: dict[str, Any]) -> str:
    joined = f"joined from {', '.join(reason['branches'])}"
    clashes = ", ".join(map(plain, reason["clashes"]))
    return f"{joined}; fields that clashed: {clashes}" if clashes else joined


def _way(route: Route) -> str:
    if route.to is not None:
        return f"{route.label} → {route.to}"
    if route.label in _WAYS_SET_ASIDE:
        return f"{route.label} → discarded"
    return f"{route.label} → fork" if route.reason is not None and "read" in route.reason else route.label


def _ending(end: Ending, stopped: str | None) -> Text:
    if end.outcome is None and stopped is not None:
        where = "" if end.sink is None else f" to {end.sink}"
        return Text.assemble(_fate("not delivered"), f"{where}: {stopped}")
    if end.outcome is None:
        where = "" if end.sink is None else f", on its way to {end.sink}"
        return Text.assemble(_fate("in progress"), where)
    where = "" if end.sink is None else f" in sink {end.sink}"
    if end.uri is not None:
        where += f", {plain(end.uri)}"
    return Text.assemble("ended ", _fate(end.outcome), where)


def _fate(status: str) -> tuple[str, str]:
    return status, f"bold {_COLOURS.get(status, '')}".strip()


def _hashed(title: Text, row_hash: str | None) -> Text:
    return title if row_hash is None else title.append(f"  row hash {row_hash[:_HASH_DIGITS]}…", "dim")


def _facts(facts: dict[str, Any]) -> str:
    return ", ".join(f"{plain(name)}: {_value(value)}" for name, value in facts.items())


def _value(value: Any) -> str:
    """A value as JSON, shortened; `--json` gives all of it."""
    text = plain(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"

"""What the commands print for people."""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from elspeth_dagster.accounting import Outcome
from elspeth_dagster.cli.plain import plain, plain_lines
from elspeth_dagster.landscape.purge import Purged
from elspeth_dagster.orchestration.markdown import cut

_COLOURS = {
    "completed": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "abandoned": "magenta",
}  # fmt: skip


# Run ids, Dagster's run ids, hashes, tokens.
_IN_ONE_PIECE = re.compile(
    "[0-9]{8}-[0-9]{6}-[0-9a-f]{8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,64}"
)
_NARROW = 10
_BETWEEN = 2


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console


def run(facts: dict[str, Any], problem: str | None) -> None:
    """One run, with what to do next when it did not complete."""
    console = _console()
    colour = _COLOURS.get(facts["status"], "white")
    console.print(
        f"[bold]{escape(facts['pipeline'])}[/bold] run {facts['run_id']} "
        f"[{colour}]{facts['status']}[/{colour}] in {facts['seconds']} s"
    )
    consumed = facts["outcomes"].get(Outcome.CONSUMED_IN_BATCH.value)
    console.print(
        f"  rows in {facts['rows_in']:,} · succeeded {facts['succeeded']:,} · failed {facts['failed']:,} "
        f"· quarantined {facts['quarantined']:,}"
        + (f" · consumed in batches {consumed:,}" if consumed else "")
    )
    for name, sink in facts["sinks"].items():
        console.print(f"  {escape(name)}: {sink['rows']:,} rows in {escape(sink['uri'])}", soft_wrap=True)
    published = facts["status"] == "completed" or facts["sinks"]
    if not published and facts["rows_in"]:
        console.print("  nothing was published; what goes to a sink counts above once it is delivered")
    aside = "set aside" if published else "set aside, not delivered"
    _set_aside(console, aside, facts["set_aside"], facts["run_id"])
    for check in facts.get("checks", ()):
        _check(console, check)
    if facts["status"] != "completed":
        error = facts.get("error")
        text = problem or (error["message"] if error else "")
        if text:
            click.echo(plain_lines(text), err=True)
        if facts["status"] != "abandoned":
            console.print(f"  continue it with: elspeth resume {facts['run_id']}")


def _set_aside(console: Console, what: str, aside: dict[str, Any], run_id: str) -> None:
    """Why rows were set aside, the most frequent reasons first."""
    lines = [f"{what}: {_reason(told)}" for told in aside.get("reasons", ())]
    if aside.get("other_reasons"):
        lines.append(f"{what}: and {aside['other_reasons']:,} more reasons, {aside['others']:,}")
    if not aside.get("complete", True):
        lines.append(f"{what}: and more, which were not looked at")
    if "unknown" in aside:
        lines.append(f"{what}: unknown why: {aside['unknown']}")
    if aside["discarded"]:
        lines.append(f"discarded: {aside['discarded']:,}")
    if aside.get("reasons"):
        lines.append(f"the story of one: elspeth explain {run_id} {aside['reasons'][0]['rows'][0]}")
    for line in lines:
        console.print(f"  {escape(plain(line))}", soft_wrap=True)


def _reason(told: dict[str, Any]) -> str:
    rows = list(map(str, dict.fromkeys(told["rows"])))
    if told["count"] > len(told["rows"]):
        rows.append("…")
    named = "row" if len(rows) == 1 else "rows"
    return f"{told['node']}: {cut(told['reason'])}: {told['count']:,}, {named} {', '.join(rows)}"


def _check(console: Console, check: dict[str, Any]) -> None:
    verdict = "passed" if check["passed"] else f"not passed ({check['severity']})"
    line = f"{check['check']}: {check['figure']:g}, limit {check['limit']:g}: {verdict}"
    accepted = check.get("accepted")
    if accepted:
        line += f", accepted by {accepted['by']}: {accepted['reason']}"
    console.print(f"  check {escape(line)}", soft_wrap=True)


def runs(found: Sequence[dict[str, Any]], *, now: datetime) -> None:
    """Runs as a table, with the partition where any has one, and the first line of what stopped each."""
    if not found:
        click.echo("no runs yet; start one with: elspeth run SETTINGS")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("run", "pipeline", "status", "age"):
        table.add_column(title, no_wrap=True)
    is_partitioned = any(facts["partition"] is not None for facts in found)
    if is_partitioned:
        table.add_column("partition", overflow="fold")
    for title in ("rows in", "succeeded", "failed", "quarantined"):
        table.add_column(title, justify="right")
    table.add_column("error", overflow="fold")
    for facts in found:
        status = facts["status"]
        numbers = [f"{facts[key]:,}" for key in ("rows_in", "succeeded", "failed", "quarantined")]
        table.add_row(
            facts["run_id"],
            escape(facts["pipeline"]),
            f"[{_COLOURS.get(status, 'white')}]{status}",
            _age(facts["started_at"], now),
            *([escape(plain(facts["partition"] or ""))] if is_partitioned else ()),
            *numbers,
            escape(plain(_first_line(facts))),
        )
    _console().print(table)
    if any("\n" in _error(facts) for facts in found):
        click.echo("the whole text of an error: elspeth runs --json")


def _error(facts: dict[str, Any]) -> str:
    """What stopped a run; empty where nothing did."""
    return str(facts.get("error", {}).get("message", ""))


def _first_line(facts: dict[str, Any]) -> str:
    line = _error(facts).partition("\n")[0]
    return f"given up; what stopped it: {line}" if line and facts["status"] == "abandoned" else line


LISTED_PIPELINES = 10


def no_run_of(others: Sequence[str], *, pipeline: str | None, partition: str | None) -> None:
    """That a pipeline or a partition has no run, and some pipelines that have."""
    asked = {"pipeline": pipeline, "partition": partition}
    what = ", ".join(f"{kind} {name!r}" for kind, name in asked.items() if name is not None)
    listed = ", ".join(others[:LISTED_PIPELINES]) + (", …" if len(others) > LISTED_PIPELINES else "")
    click.echo(plain(f"no run of {what}; there are runs of: {listed}"))


def _age(started_at: str, now: datetime) -> str:
    seconds = max(0, math.floor((now - datetime.fromisoformat(started_at)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def purged(found: Purged, *, dry_run: bool) -> None:
    """What was left over, run by run, and what was left alone."""
    removed = "would be removed" if dry_run else "removed"
    for run in found.runs:
        if run.files:
            click.echo(f"run {run.run_id}: {run.files} files ({run.size_bytes:,} bytes) {removed}")
        if run.at_work is not None:
            who = f"attempt {run.at_work} is or may be at work, {'; '.join(run.signs)}"
            click.echo(f"run {run.run_id}: {who}; its files were left alone")
    if found.locks:
        click.echo(f"{found.locks} locks of attempts that are over {removed}")
    if not found.locks and not any(run.files for run in found.runs):
        click.echo("nothing was left over")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """The answer to a query: long values are folded, ids and hashes are in one piece."""
    shown = Table(box=None, pad_edge=False)
    texts = [["" if value is None else plain_lines(str(value)) for value in row] for row in rows]
    narrowest = 0
    for number, name in enumerate(columns):
        whole = _whole_width(name, [text[number] for text in texts])
        shown.add_column(escape(plain(name)), overflow="fold", no_wrap=whole > 0)
        narrowest += max(whole, _NARROW) + _BETWEEN
    for text in texts:
        shown.add_row(*map(escape, text))
    console = _console()
    console.width = max(console.width, narrowest)
    console.print(shown)


def _whole_width(name: str, cells: Sequence[str]) -> int:
    """How wide a column of ids or hashes is; 0 for another one, which may be folded."""
    is_whole = any(cells) and all(_IN_ONE_PIECE.fullmatch(cell) for cell in cells if cell)
    return max(len(plain(name)), *map(len, cells)) if is_whole else 0


def plugins(described: Sequence[dict[str, Any]]) -> None:
    """Plugins with their options."""
    console = _console()
    for plugin in described:
        if plugin["error"]:
            line = f"{plugin['name']} ({plugin['origin']}): {plugin['error']}"
            console.print(f"[bold red]broken plugin[/bold red] {escape(plain(line))}", soft_wrap=True)
            continue
        console.print(f"[bold]{plugin['kind']} {escape(plugin['name'])}[/bold]  {escape(plugin['summary'])}")
        if plugin["origin"] != "built-in":
            console.print(f"    from {escape(plugin['origin'])}", soft_wrap=True)
        for option in plugin["options"]:
            default = "required" if option["required"] else f"default {_yaml(option['default'])}"
            console.print(
                f"    {escape(option['name'])}: {escape(option['type'])}, {escape(default)}"
                f"  {escape(option['description'] or '')}"
            )


def _yaml(value: Any) -> str:
    """A value as a settings file has it, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf, sort_keys=False)
    return text.strip().removesuffix("...").strip()

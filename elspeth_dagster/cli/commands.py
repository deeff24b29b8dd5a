"""The `elspeth` command: for people and scripts, in the words of the glossary."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from elspeth_dagster import __version__
from elspeth_dagster.cli.environment import load_environment
from elspeth_dagster.cli.place import opened_landscape, prepare, take_root_of
from elspeth_dagster.cli.plain import plain_lines
from elspeth_dagster.errors import ElspethError, UsageError
from elspeth_dagster.orchestration.stopping import INTERRUPTED_EXIT, terminated_as_interrupted
from elspeth_dagster.settings import MAX_SHARDS, SettingsError

COMPLETED, FAILED, BAD_SETTINGS, INTERRUPTED = 0, 1, 2, INTERRUPTED_EXIT
_EXIT_BY_STATUS = {"completed": COMPLETED, "failed": FAILED, "interrupted": INTERRUPTED}

_landscape_option = click.option(
    "--landscape", "landscape", default="", metavar="DIR_OR_URL",
    help="Where runs are recorded. Default: ELSPETH_LANDSCAPE, else landscape/ under the platform root.",
)  # fmt: skip
_force_option = click.option(
    "--force", is_flag=True,
    help="Take processes on other hosts for dead whose last heartbeat is more than a minute old, and give up "
    "steps that wait to be tried again.",
)  # fmt: skip
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)


def _reporting(command: Callable[..., int]) -> Callable[..., None]:
    """Exit codes and error texts of every command; a user's mistake never shows a traceback."""

    @wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> None:
        try:
            with terminated_as_interrupted():
                code = command(*args, **kwargs)
        except (SettingsError, UsageError) as error:
            _complain(error, as_json=kwargs.get("as_json", False))
            code = BAD_SETTINGS
        except ElspethError as error:
            _complain(error, as_json=kwargs.get("as_json", False))
            code = FAILED
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        sys.exit(code)

    return reporting


def _complain(error: ElspethError, *, as_json: bool) -> None:
    click.echo(plain_lines(str(error)), err=True)
    for note in getattr(error, "__notes__", ()):
        click.echo(plain_lines(note), err=True)
    if as_json:
        _print_json({"error": {"type": type(error).__name__, "message": str(error)}})


def _print_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, default=str)
    # A file's name need not be text; JSON has an escape for what it holds then.
    click.echo(text.encode(errors="backslashreplace"))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="elspeth")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take environment variables that are not set from this file. Default: .env under the platform root.",
)
@click.option("--no-dotenv", is_flag=True, help="Take no environment variables from a file.")
def main(env_file: Path | None, *, no_dotenv: bool) -> None:
    """Auditable row pipelines on Dagster."""
    if not no_dotenv:
        load_environment(env_file)


@main.command()
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=0), help="Read at most so many records; 0 for all.")
@click.option("--source-path", help="Read this file in place of the settings' one.")
@click.option("--partition", metavar="KEY", help="The partition to run, where the pipeline has some.")
@_landscape_option
@_json_option
@_reporting
def run(
    settings: Path,
    limit: int | None,
    source_path: str | None,
    partition: str | None,
    landscape: str,
    *,
    as_json: bool,
) -> int:
    """Runs the pipeline of a settings file through its Dagster job."""
    from elspeth_dagster.plugins.compile import compile_pipeline  # noqa: PLC0415 - keeps `--help` fast

    take_root_of(settings)
    compiled = compile_pipeline(settings.resolve())
    for warning in compiled.settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    from elspeth_dagster.orchestration import (  # noqa: PLC0415 - bad settings need no Dagster
        execute,
        home,
        partitions,
    )

    key = partitions.chosen(compiled, partition, source_path)
    location = prepare(landscape)
    home.prepare_dagster_home()
    with _live(location, compiled.graph.pipeline) as level:
        choices = {"limit": limit, "source_path": source_path}
        launched = execute.PipelineLaunch(compiled, location, log_level=level).execute(
            {name: value for name, value in choices.items() if value is not None}, partition=key
        )
    return _report(launched, location, as_json=as_json)


@main.command()
@click.argument("named", metavar="RUN")
@click.option("--restart-source", is_flag=True, help="Drop what was read so far, and read the source again.")
@click.option(
    "--shards", type=click.IntRange(1, MAX_SHARDS), help="Share the chunks out among so many processes."
)
@_force_option
@click.option("--accept-checks", is_flag=True, help="Publish although a check holds the run back.")
@click.option("--reason", help="Why; goes on record, and --accept-checks needs it.")
@click.option("--by", help="Who accepts, for the record. Default: user@host.")
@_landscape_option
@_json_option
@_reporting
def resume(
    named: str,
    shards: int | None,
    landscape: str,
    *,
    restart_source: bool,
    force: bool,
    accept_checks: bool,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> int:
    """Continues a run that failed, or whose process is gone, where it stopped.

    RUN is the run's id, or the beginning of it.
    """
    from elspeth_dagster.landscape import reads  # noqa: PLC0415 - keeps `--help` fast
    from elspeth_dagster.landscape.leftovers import delete_parts  # noqa: PLC0415
    from elspeth_dagster.landscape.model import RunStatus  # noqa: PLC0415
    from elspeth_dagster.landscape.naming import run_to_change  # noqa: PLC0415
    from elspeth_dagster.orchestration import execute, home  # noqa: PLC0415

    acceptance = _acceptance(reason, by, accepts=accept_checks)
    location = prepare(landscape)
    with opened_landscape(location) as opened:
        known = reads.run(opened, run_to_change(opened, named))
        if known.status is RunStatus.COMPLETED:
            # Its end may have come between completing and clearing away.
            delete_parts(opened, known.run_id)
    if known.status is RunStatus.COMPLETED:
        click.echo(f"run {known.run_id} is completed already; nothing was changed", err=True)
        return _report(execute.Launched(known.run_id, ""), location, as_json=as_json)
    home.prepare_dagster_home()
    with _live(location, known.pipeline) as level:
        how = execute.Resume(restart_source, force, shards, acceptance, level)
        launched = execute.resume_run(known, location, how, say=lambda line: click.echo(line, err=True))
    return _report(launched, location, as_json=as_json)


def _acceptance(reason: str | None, by: str | None, *, accepts: bool) -> Any:
    """Who releases a run from its checks, and why; None when nobody does."""
    from elspeth_dagster.engine.checks import Acceptance  # noqa: PLC0415 - keeps `--help` fast
    from elspeth_dagster.orchestration.platform import this_user  # noqa: PLC0415

    said = (reason or "").strip()
    if accepts != bool(said) or (by is not None and not accepts):
        raise click.UsageError('--accept-checks goes with --reason "...", and --by with both')
    return Acceptance((by or "").strip() or this_user(), said) if accepts else None


@main.command()
@click.argument("named", metavar="RUN")
@click.option("--by", help="Who gives it up, for the record. Default: user@host.")
@_force_option
@_landscape_option
@_json_option
@_reporting
def abandon(named: str, by: str | None, landscape: str, *, force: bool, as_json: bool) -> int:
    """Ends a run that nobody will resume, and frees what it holds; its record stays."""
    from elspeth_dagster.landscape.naming import run_to_change  # noqa: PLC0415
    from elspeth_dagster.orchestration import giving_up, home  # noqa: PLC0415

    home.prepare_dagster_home()
    with opened_landscape(prepare(landscape)) as opened:
        run_id = run_to_change(opened, named)
        done = giving_up.abandon(opened, run_id, by=by, force=force)
    if as_json:
        _print_json({"run_id": run_id, "status": done.status.value, "removed_files": done.removed})
    elif done.changed:
        click.echo(f"run {run_id} is abandoned; {done.removed} files that only it needed were removed")
    else:
        click.echo(f"run {run_id} is {done.status.value} already; nothing was changed", err=True)
    return COMPLETED


@main.command()
@click.argument("named", metavar="RUN", required=False)
@click.option("--dry-run", is_flag=True, help="Remove nothing; only say what would be removed.")
@_force_option
@_landscape_option
@_json_option
@_reporting
def purge(named: str | None, landscape: str, *, dry_run: bool, force: bool, as_json: bool) -> int:
    """Removes files and locks that dead attempts left behind, of RUN or of all runs; no run is changed."""
    from elspeth_dagster.cli import show  # noqa: PLC0415 - keeps `--help` fast
    from elspeth_dagster.landscape import purge as purging  # noqa: PLC0415
    from elspeth_dagster.landscape.naming import run_to_change  # noqa: PLC0415

    with opened_landscape(prepare(landscape)) as opened:
        run_id = None if named is None else run_to_change(opened, named)
        purged = purging.purge(opened, run_id, dry_run=dry_run, force=force)
    if as_json:
        _print_json(purged.to_json() | {"dry_run": dry_run})
    else:
        show.purged(purged, dry_run=dry_run)
    return COMPLETED


def _live(location: Any, pipeline: str) -> Any:
    """Live progress on a terminal, plain lines elsewhere; gives the console's log level."""
    if not sys.stderr.isatty():
        return nullcontext("INFO")
    from elspeth_dagster.cli.live import live_progress  # noqa: PLC0415

    return live_progress(location, pipeline)


def _report(launched: Any, location: Any, *, as_json: bool) -> int:
    """Prints how a run stands, from the catalogue alone."""
    from elspeth_dagster.cli import show, summary  # noqa: PLC0415
    from elspeth_dagster.landscape.catalogue import Landscape  # noqa: PLC0415

    if launched.run_id is None:
        problem = launched.problem or "Dagster could not start the run"
        click.echo(plain_lines(problem), err=True)
        if as_json:
            _print_json({"error": {"type": "LaunchError", "message": problem}})
        return FAILED
    with Landscape.open(location, create=False) as opened:
        facts = summary.of_run(opened, launched.run_id)
    if as_json:
        _print_json(facts)
    else:
        show.run(facts, launched.problem)
    if launched.problem and (as_json or facts["status"] == "completed"):
        click.echo(plain_lines(launched.problem), err=True)
    if launched.problem and facts["status"] == "completed":
        return FAILED
    return _EXIT_BY_STATUS.get(facts["status"], FAILED)


@main.command()
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("--mermaid", is_flag=True, help="Draw the graph for Mermaid.")
@_json_option
@_reporting
def validate(settings: Path, *, mermaid: bool, as_json: bool) -> int:
    """Checks everything that can be known before reading a row, and draws the graph."""
    from elspeth_dagster.graph import draw_mermaid, draw_text  # noqa: PLC0415
    from elspeth_dagster.plugins.compile import compile_pipeline  # noqa: PLC0415

    take_root_of(settings)
    compiled = compile_pipeline(settings.resolve())
    drawn = draw_mermaid(compiled.graph) if mermaid else draw_text(compiled.graph)
    if as_json:
        warnings = list(compiled.settings.warnings)
        _print_json(
            {"ok": True, "pipeline": compiled.graph.pipeline, "warnings": warnings,
             "graph": drawn, "mermaid": draw_mermaid(compiled.graph)}
        )  # fmt: skip
        return COMPLETED
    for warning in compiled.settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(drawn)
    return COMPLETED


@main.command()
@click.option("--pipeline", help="Only runs of this pipeline.")
@click.option("--partition", metavar="KEY", help="Only runs of this partition.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@_landscape_option
@_json_option
@_reporting
def runs(pipeline: str | None, partition: str | None, limit: int, landscape: str, *, as_json: bool) -> int:
    """Lists runs, newest first, with status, counts and age."""
    from elspeth_dagster.cli import show, summary  # noqa: PLC0415
    from elspeth_dagster.landscape import reads  # noqa: PLC0415

    with opened_landscape(prepare(landscape)) as opened:
        found = summary.of_runs(opened, limit=limit, pipeline=pipeline, partition=partition)
        others = [] if found else reads.pipelines(opened, show.LISTED_PIPELINES + 1)
    if as_json:
        _print_json({"runs": found})
    elif others:
        show.no_run_of(others, pipeline=pipeline, partition=partition)
    else:
        show.runs(found, now=datetime.now(UTC))
    return COMPLETED


@main.command()
@click.argument("named", metavar="RUN")
@click.argument("row", type=int)
@_landscape_option
@_json_option
@_reporting
def explain(named: str, row: int, landscape: str, *, as_json: bool) -> int:
    """Tells the whole story of a row, counted from 0: as received, each decision, where it ended and why.

    RUN is a run's id, the beginning of it, or a pipeline, whose newest run is meant.
    """
    from elspeth_dagster.cli import story  # noqa: PLC0415
    from elspeth_dagster.landscape.explain import explain as explained  # noqa: PLC0415
    from elspeth_dagster.landscape.naming import run_to_read  # noqa: PLC0415

    with opened_landscape(prepare(landscape)) as opened:
        found = explained(opened, run_to_read(opened, named), row)
    if as_json:
        _print_json(found.to_json())
    else:
        story.show(found)
    return COMPLETED


@main.command()
@click.argument("query")
@click.option(
    "--run", "named", metavar="RUN", help="Show only this run: its id, or its pipeline for the newest."
)
@_landscape_option
@_json_option
@_reporting
def sql(query: str, named: str | None, landscape: str, *, as_json: bool) -> int:
    """Answers one SELECT over the landscape, read-only."""
    from elspeth_dagster.cli import show  # noqa: PLC0415
    from elspeth_dagster.landscape.naming import run_to_read  # noqa: PLC0415
    from elspeth_dagster.landscape.query import query as ask  # noqa: PLC0415

    with opened_landscape(prepare(landscape)) as opened:
        run_id = None if named is None else run_to_read(opened, named)
        answer = ask(opened, query, run_id=run_id)
    if as_json:
        twice = [name for name, times in Counter(answer.column_names).items() if times > 1]
        if twice:
            raise UsageError(f"several columns are named {twice[0]!r}; give each a name of its own with AS")
        _print_json({"columns": answer.column_names, "rows": answer.to_pylist()})
    else:
        cells = [column.to_pylist() for column in answer.columns]
        show.table(answer.column_names, list(zip(*cells, strict=True)))
    return COMPLETED


@main.command()
@click.argument("settings", required=False, type=click.Path(path_type=Path))
@_json_option
@_reporting
def plugins(settings: Path | None, *, as_json: bool) -> int:
    """Lists what can stand behind `plugin:`, with options; SETTINGS adds the `plugins/` folder beside it."""
    from elspeth_dagster.cli import show  # noqa: PLC0415
    from elspeth_dagster.plugins.registry import PluginSet  # noqa: PLC0415
    from elspeth_dagster.settings.document import require_readable  # noqa: PLC0415

    if settings is not None:
        require_readable(settings.resolve())
    described = PluginSet.for_settings_file((settings or Path("settings.yaml")).resolve()).describe()
    if as_json:
        _print_json({"plugins": described})
    else:
        show.plugins(described)
    return COMPLETED
